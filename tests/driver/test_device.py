import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from sterna.compiler import compile_network
from sterna.driver import Counters, Device
from sterna.golden import trace
from sterna.link.emulator import Emulator
from sterna.spec.configuration import STANDARD, Configuration
from sterna.spec.errors import (
    ConfigurationError,
    DeviceLostError,
    DeviceRefusedError,
    FitError,
    ImageError,
    InputError,
)
from sterna.spec.frames import MAX_RESULT, Status
from sterna.spec.image import Image
from sterna.spec.network import IntegerNetwork
from sterna.spec.skips import ALL_SKIPS, NO_SKIPS, Skips

Images = npt.NDArray[np.float64]
MakeNetwork = Callable[..., IntegerNetwork]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7])
def test_inference_equals_golden(device: Device, network: IntegerNetwork, images: Images, count: int) -> None:
    device.load(network)
    got = device.infer(images[:count])
    expected = network.predict(images[:count])
    assert isinstance(got, np.ndarray)
    assert isinstance(expected, np.ndarray)
    assert got.dtype == np.int32
    assert got.shape == (count, 10)
    assert np.array_equal(got, expected)


@pytest.mark.parametrize("activation_skip", [False, True])
@pytest.mark.parametrize("block_skip", [False, True])
def test_skips_do_not_change_results(
    device: Device, network: IntegerNetwork, images: Images, activation_skip: bool, block_skip: bool
) -> None:
    device.load(network, skips=Skips(activation_skip, block_skip))
    assert np.array_equal(device.infer(images), network.predict(images))
    counters = device.counters()
    assert (counters.skipped_blocks > 0) == block_skip
    assert (counters.skipped_activations > 0) == activation_skip
    assert counters.issued + counters.skipped_activations + counters.skipped_blocks == counters.positions


def test_what_issues_all_activations_does_so_with_each_kind_of_image(network: IntegerNetwork, images: Images) -> None:
    configuration = dataclasses.replace(STANDARD["icebreaker"], name="whole", activation_skip=False)
    device = Device(Emulator(configuration), configuration=configuration)
    for skips in (ALL_SKIPS, Skips(activations=False), NO_SKIPS):
        device.load(network, skips=skips)
        before = device.counters()
        assert np.array_equal(device.infer(images), network.predict(images))
        counters = device.counters() - before
        assert counters.issued == counters.stored
        assert (counters.stored < counters.positions) == skips.blocks


def test_an_image_takes_no_skips(device: Device, network: IntegerNetwork) -> None:
    image = compile_network(network, device.configuration)
    with pytest.raises(InputError, match=r"^an image cannot be loaded with no skip; give them to compile_network$"):
        device.load(image, skips=NO_SKIPS)
    assert device.image is None


def test_several_outputs_come_as_a_tuple(device: Device, make_network: MakeNetwork) -> None:
    network = make_network(16, 12, 9, outputs=("layer2", "layer1"))
    images = np.random.default_rng(0).uniform(-8, 8, (5, 16))
    device.load(network)
    got, expected = device.infer(images), network.predict(images)
    assert isinstance(got, tuple)
    assert [part.shape for part in got] == [(5, 9), (5, 12)]
    assert all(np.array_equal(a, b) for a, b in zip(got, expected, strict=True))


def test_inputs_and_outputs_longer_than_a_frame_are_split(device: Device, make_network: MakeNetwork) -> None:
    network = make_network(1301, 5, MAX_RESULT + 10)
    images = np.random.default_rng(0).uniform(-8, 8, (4, 1301))
    device.load(network)
    assert np.array_equal(device.infer(images), network.predict(images))
    assert device.counters().bad_frames == device.statistics.retransmissions == 0


def test_a_clean_link_loses_and_repeats_nothing(
    device: Device, network: IntegerNetwork, images: Images, emulator: Emulator
) -> None:
    device.load(network)
    device.infer(images)
    assert emulator.runs == len(images)
    assert device.counters().bad_frames == 0  # the emulator drops what exceeds the window
    statistics = device.statistics
    assert statistics.retransmissions == statistics.damaged_frames == 0
    assert statistics.synchronisations == 1
    assert statistics.frames_sent == statistics.frames_received
    assert statistics.bytes_sent > statistics.bytes_received > 0


def test_the_second_slot_is_used_while_the_first_runs(
    device: Device, network: IntegerNetwork, images: Images, slots_taken: Callable[[Device], list[int]]
) -> None:
    image = device.load(network)
    slots = slots_taken(device)
    device.infer(images[:5])
    assert image.slot_offset > 0
    assert slots == [0, 1, 0, 1, 0]


def test_an_image_with_one_slot_works(
    device: Device, network: IntegerNetwork, images: Images, configuration: Configuration
) -> None:
    device.load(dataclasses.replace(compile_network(network, configuration), slot_offset=0))
    got = device.infer(network.input.quantise(images))
    assert np.array_equal(got, network.predict(images))


def test_an_image_takes_quantised_inputs(
    device: Device, network: IntegerNetwork, images: Images, configuration: Configuration
) -> None:
    image = Image.from_bytes(compile_network(network, configuration).to_bytes())
    assert device.load(image) is image
    assert device.image is image
    quantised = network.input.quantise(images)
    assert np.array_equal(device.infer(quantised), network.predict(images))
    assert np.array_equal(device.infer(quantised.reshape(len(images), -1)), network.predict(images))
    with pytest.raises(InputError, match="images have dtype float64; without a network they must be int8"):
        device.infer(images)
    with pytest.raises(InputError, match=r"images have shape \(7, 36\); expected \(n, …\) with 37 values each"):
        device.infer(quantised.reshape(7, -1)[:, 1:])
    with pytest.raises(InputError, match=r"images reach from -128 to 0; allowed: -127…127"):
        device.infer(np.concatenate([np.full((1, 37), -128, np.int8), np.zeros((1, 37), np.int8)]))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros((2, 36)), "images have shape"),
        (np.zeros(37), "images have shape"),
        (np.full((2, 37), np.nan), "images hold NaN"),
        (np.full((2, 37), 8.5), "images reach from 8.5 to 8.5"),
        (np.full((2, 37), np.inf), "images reach from inf"),
        (np.zeros((2, 37), complex), "images have dtype complex128"),
        (np.array([["a"] * 37]), "images have dtype <U1"),
    ],
)
def test_bad_images_are_refused_before_anything_is_sent(
    device: Device, network: IntegerNetwork, images: Images, bad: npt.NDArray[Any], message: str
) -> None:
    device.load(network)
    sent = device.statistics.bytes_sent
    with pytest.raises(InputError, match=message):
        device.infer(bad)
    assert device.statistics.bytes_sent == sent
    assert np.array_equal(device.infer(images), network.predict(images))


def test_everything_before_load_is_refused(device: Device, images: Images) -> None:
    for call in (device.infer, device.trace, device.profile):
        with pytest.raises(DeviceRefusedError, match="no network is loaded; call load first") as caught:
            call(images)
        assert caught.value.status == Status.NOT_LOADED


def test_an_image_for_another_configuration_is_refused_before_anything_is_sent(
    device: Device, network: IntegerNetwork, images: Images
) -> None:
    device.load(network)
    sent = device.statistics.bytes_sent
    with pytest.raises(ImageError, match=r"made for configuration [0-9a-f]{16}, the device has [0-9a-f]{16} \(small\)"):
        device.load(compile_network(network, STANDARD["icebreaker"]))
    assert device.statistics.bytes_sent == sent
    assert np.array_equal(device.infer(images), network.predict(images))


def test_a_network_that_does_not_fit_is_refused_before_anything_is_sent(
    device: Device, network: IntegerNetwork, make_network: MakeNetwork, images: Images
) -> None:
    device.load(network)
    sent = device.statistics.bytes_sent
    with pytest.raises(FitError):
        device.load(make_network(3000, 100))
    assert device.statistics.bytes_sent == sent
    assert np.array_equal(device.infer(images), network.predict(images))


def test_only_networks_and_images_are_loaded(device: Device) -> None:
    with pytest.raises(ImageError, match="cannot load a str; expected an IntegerNetwork or an Image"):
        device.load("digits.safetensors")  # type: ignore[arg-type]


def test_another_network_replaces_the_first(device: Device, network: IntegerNetwork, make_network: MakeNetwork) -> None:
    other = make_network(8, 3, seed=4)
    images = np.random.default_rng(0).uniform(-8, 8, (3, 8))
    device.load(network)
    device.load(other)
    assert np.array_equal(device.infer(images), other.predict(images))


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        ("trit", Status.BAD_TRIT, "WRITE refused: the image holds an illegal trit code"),
        ("crc", Status.BAD_CHECKSUM, "COMMIT refused: what the device received is not the image"),
    ],
)
def test_a_damaged_image_is_refused_by_the_device(
    device: Device, network: IntegerNetwork, images: Images, monkeypatch: pytest.MonkeyPatch, change: str,
    status: Status, message: str,
) -> None:  # fmt: skip
    device.load(network)
    image = compile_network(network, device.configuration)
    if change == "trit":
        first, *others = image.sections
        image = dataclasses.replace(
            image, sections=(dataclasses.replace(first, data=b"\xaa" * len(first.data)), *others)
        )
    else:
        monkeypatch.setattr(Image, "payload_crc", lambda self: 12345)
    with pytest.raises(DeviceRefusedError, match=message) as caught:
        device.load(image)
    assert caught.value.status == status
    assert "\n" not in str(caught.value)
    with pytest.raises(DeviceRefusedError, match="call load first"):
        device.infer(images)
    monkeypatch.undo()
    device.load(network)
    assert np.array_equal(device.infer(images), network.predict(images))


def test_trace_gives_every_tensor(device: Device, network: IntegerNetwork, images: Images) -> None:
    device.load(network)
    got, expected = device.trace(images[0]), trace(network, images[:1])
    assert list(got) == ["layer1", "layer2"]
    for name, tensor in got.items():
        assert tensor.dtype == np.int8
        assert np.array_equal(tensor, expected[name][0])


def test_profile_adds_up_to_a_run(device: Device, network: IntegerNetwork, images: Images) -> None:
    device.load(network)
    rows = device.profile(images[0])
    before = device.counters()
    device.infer(images[:1])
    run = device.counters() - before
    assert [row.op for row in rows] == ["layer1", "layer2"]
    assert sum((row.counters for row in rows), Counters()) == dataclasses.replace(run, good_frames=0)
    assert all(row.counters.positions > 0 for row in rows)
    device.load(network, skips=NO_SKIPS)
    dense = device.profile(images[0])
    assert all(row.counters.issued == row.counters.positions for row in dense)


def test_counters_count_on_beyond_32_bits(
    emulator: Emulator, open_over: Callable[..., Device], network: IntegerNetwork, images: Images
) -> None:
    emulator._machines[0].issued = (1 << 32) - 5
    device = open_over(emulator)
    image = device.load(network)
    assert device.counters().issued == 0
    device.infer(images)
    issued = device.counters().issued
    assert 5 < issued < 1 << 20
    # A run may take so many cycles that the counters have to be read after each.
    device.load(dataclasses.replace(image, estimated_cycles=1 << 31))
    frames = device.counters().good_frames
    device.infer(network.input.quantise(images))
    assert device.counters().good_frames - frames >= 4 * len(images)
    assert device.counters().issued == 2 * issued


def test_progress_counts_bytes_and_images(device: Device, network: IntegerNetwork, images: Images) -> None:
    loaded: list[tuple[int, int]] = []
    image = device.load(network, progress=lambda done, total: loaded.append((done, total)))
    total = sum(len(section.data) for section in image.sections)
    assert loaded[-1] == (total, total)
    seen: list[tuple[int, int]] = []
    device.infer(images, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(n + 1, len(images)) for n in range(len(images))]


def test_a_closed_device_says_so(device: Device, network: IntegerNetwork, images: Images) -> None:
    with device:
        device.load(network)
    device.close()
    for call in (device.counters, lambda: device.infer(images), lambda: device.load(network)):
        with pytest.raises(DeviceLostError, match="the device is closed; open it again"):
            call()


def test_timeout_must_be_positive(emulator: Emulator) -> None:
    with pytest.raises(ConfigurationError, match=r"timeout is 0; allowed: seconds above 0"):
        Device(emulator, timeout=0)


def test_identity_names_the_configuration(device: Device, configuration: Configuration) -> None:
    identity = device.identity
    assert identity.configuration == device.configuration == configuration
    assert (identity.format, identity.digest, identity.build) == (1, configuration.digest, bytes(8))
