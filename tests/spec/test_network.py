"""Integer networks: what is checked when one is built, and the quantised input."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sterna.spec.errors import InputError, ModelError
from sterna.spec.network import InputSpec, IntegerNetwork, Layer, Plane

IMAGE = InputSpec(name="image", shape=(3, 4, 2), low=-1.0, high=1.0, scale=1 / 127)


def plane(**changes):
    values = {"source": "image", "trits": np.ones((5, 2, 2, 2), np.int8), "multiplier": np.ones(5, np.int64)}
    return Plane(**(values | changes))


def layer(*planes, **changes):
    values = {"bias": np.zeros(5, np.int64), "shift": np.zeros(5, np.int64), "minimum": -127, "maximum": 127}
    return Layer(**({"name": "first", "planes": planes or (plane(),)} | values | changes))


def network(*layers, **changes):
    values = {
        "name": "net", "act_bits": 8, "input": IMAGE, "layers": layers or (layer(),), "outputs": ("first",),
        "output_scale": (1.0,), "metadata": {},
    }  # fmt: skip
    return IntegerNetwork(**(values | changes))


def test_groups_and_pooling_give_their_shapes():
    def six(**changes):
        return plane(**({"multiplier": np.ones(6, np.int64)} | changes))

    of_six = {"bias": np.zeros(6, np.int64), "shift": np.zeros(6, np.int64)}
    grouped = layer(six(trits=np.ones((6, 2, 2, 1), np.int8), groups=2), pool=(2, 2), **of_six)
    depthwise = layer(
        six(source="first", trits=np.ones((6, 1, 1, 1), np.int8), groups=6), name="second", pool=(1, 1), **of_six
    )
    built = network(grouped, depthwise)
    assert [built.shape(name) for name in ("first", "second")] == [(1, 1, 6), (1, 1, 6)]
    assert built.weights == 24 + 6


def test_shapes_follow_kernel_stride_and_padding():
    first = layer(plane(stride=(2, 1), padding=(1, 0, 0, 2)))
    second = layer(plane(source="first", trits=np.ones((5, 2, 5, 5), np.int8)), name="second")
    built = network(first, second)
    assert [built.shape(name) for name in ("image", "first", "second")] == [(3, 4, 2), (2, 5, 5), (1, 1, 5)]
    assert built.weights == 5 * 8 + 5 * 50
    with pytest.raises(ModelError, match=r"^no tensor 'third'$"):
        built.shape("third")
    assert [built.levels(name) for name in ("image", "first")] == [built.input.levels, (second.minimum, second.maximum)]
    with pytest.raises(ModelError, match=r"^no tensor 'third'$"):
        built.levels("third")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: network(act_bits=1), "act_bits is 1; allowed: 2…8"),
        (lambda: network(name="n" * 256), f"network name '{'n' * 255}': allowed are 1…255 printable characters"),
        (
            lambda: network(input=dataclasses.replace(IMAGE, name="\x1b")),
            r"input name '\x1b': allowed are 1…255 printable characters",
        ),
        (lambda: network(layer(name="")), "layer name '': allowed are 1…255 printable characters"),
        (lambda: network(input=dataclasses.replace(IMAGE, shape=(1, 2))), "input shape (1, 2) is out of range"),
        (lambda: network(input=dataclasses.replace(IMAGE, shape=(0, 2, 1))), "input shape (0, 2, 1) is out of range"),
        (
            lambda: network(input=dataclasses.replace(IMAGE, low=float("nan"))),
            "input range nan…1, scale 0.00787402 or offset 0 is not sensible",
        ),
        (
            lambda: network(input=dataclasses.replace(IMAGE, low=2.0)),
            "input range 2…1, scale 0.00787402 or offset 0 is not sensible",
        ),
        (
            lambda: network(input=dataclasses.replace(IMAGE, scale=1 / 128)),
            "input -1…1 at scale 0.0078125 exceeds 8 bits",
        ),
        (lambda: network(layers=()), "0 layers; allowed: 1…1024"),
        (lambda: network(layer(), layer()), "tensor 'first' is defined twice"),
        (lambda: network(outputs=()), "every output needs a name and a scale"),
        (lambda: network(output_scale=(1.0, 2.0)), "every output needs a name and a scale"),
        (lambda: network(outputs=("image",)), "output 'image' is not a layer"),
        (lambda: network(output_scale=(float("inf"),)), "output 'first' has the scale inf; allowed: finite"),
        (lambda: network(outputs=("first",) * 2, output_scale=(1, 1)), "an output is named twice"),
        (lambda: network(layer(*[plane()] * 17)), "layer 'first' has 17 planes; allowed: 1…16"),
        (lambda: network(layer(planes=())), "layer 'first' has 0 planes; allowed: 1…16"),
        (lambda: network(layer(minimum=1, maximum=0)), "layer 'first' clamps to 1…0; allowed: -127…127"),
        (lambda: network(layer(minimum=-128)), "layer 'first' clamps to -128…127; allowed: -127…127"),
        (
            lambda: network(layer(plane(), plane(padding=(1, 1, 0, 0)))),
            "layer 'first': its planes give different shapes [(2, 3, 5), (4, 3, 5)]",
        ),
        (lambda: network(layer(bias=np.zeros(4, np.int64))), "layer 'first': bias needs int64 (5,)"),
        (lambda: network(layer(shift=np.zeros(5, np.int32))), "layer 'first': shift needs int64 (5,)"),
        (lambda: network(layer(bias=np.full(5, 1 << 33))), "layer 'first': bias exceeds 34 bits"),
        (lambda: network(layer(shift=np.full(5, 34))), "layer 'first': shift out of range 0…33"),
        (
            lambda: network(layer(plane(source="second"))),
            "layer 'first' plane 0 reads 'second', which is not defined before it",
        ),
        (lambda: network(layer(plane(trits=np.ones((5, 8))))), "layer 'first' plane 0: trits need 4 axes of int8"),
        (
            lambda: network(layer(plane(trits=np.ones((5, 2, 2, 3), np.int8)))),
            "layer 'first' plane 0: trits have shape (5, 2, 2, 3); expected (5, …, 2)",
        ),
        (
            lambda: network(layer(plane(groups=0))),
            "layer 'first' plane 0: 0 groups do not divide 2 inputs and 5 outputs",
        ),
        (
            lambda: network(layer(plane(groups=2))),
            "layer 'first' plane 0: 2 groups do not divide 2 inputs and 5 outputs",
        ),
        (
            lambda: network(layer(plane(trits=np.ones((6, 2, 2, 2), np.int8), groups=2))),
            "layer 'first' plane 0: trits have shape (6, 2, 2, 2); expected (6, …, 1)",
        ),
        (lambda: network(layer(pool=(0, 1))), "layer 'first': pool (0, 1) is out of range for 2×3 pixels"),
        (lambda: network(layer(pool=(3, 1))), "layer 'first': pool (3, 1) is out of range for 2×3 pixels"),
        (lambda: network(layer(pool=(1, 4))), "layer 'first': pool (1, 4) is out of range for 2×3 pixels"),
        (lambda: network(layer(pool=(1,))), "layer 'first': pool (1,) is out of range for 2×3 pixels"),
        (
            lambda: network(layer(plane(), plane(trits=np.ones((4, 2, 2, 2), np.int8)))),
            "layer 'first' plane 1: trits have shape (4, 2, 2, 2); expected (5, …, 2)",
        ),
        (
            lambda: network(layer(plane(trits=np.full((5, 2, 2, 2), -128, np.int8)))),
            "layer 'first' plane 0: trits reach beyond -1…1",
        ),
        (lambda: network(layer(plane(multiplier=np.ones(5)))), "layer 'first' plane 0: multiplier needs int64 (5,)"),
        (
            lambda: network(layer(plane(multiplier=np.full(5, 65536)))),
            "layer 'first' plane 0: multiplier out of range 0…65535",
        ),
        (
            lambda: network(layer(plane(stride=(0, 1)))),
            "layer 'first' plane 0: stride (0, 1) or padding (0, 0, 0, 0) out of range",
        ),
        (
            lambda: network(layer(plane(trits=np.ones((5, 4, 2, 2), np.int8)))),
            "layer 'first' plane 0: the window is larger than its padded source",
        ),
        (
            lambda: network(layer(plane(padding=(1 << 13, 0, 1 << 13, 0)))),
            "layer 'first' plane 0: its output (8194, 8195, 5) or padded source is too large",
        ),
    ],
)
def test_networks_that_do_not_hold_together_are_refused(build, message):
    with pytest.raises(ModelError) as caught:
        build()
    assert str(caught.value) == message


@given(st.integers(2, 8), st.sampled_from([1.0, 0.37, 1 / 16]), st.integers(0, 2**32 - 1))
def test_quantising_rounds_to_the_nearest_step_halves_up(bits, scale, seed):
    limit = (1 << (bits - 1)) - 1
    spec = InputSpec(name="image", shape=(2, 2, 1), low=-limit * scale, high=limit * scale, scale=scale)
    images = np.random.default_rng(seed).uniform(spec.low, spec.high, (3, 4))
    quantised = spec.quantise(images)
    assert quantised.dtype == np.int8
    assert quantised.shape == (3, 2, 2, 1)
    assert np.abs(quantised).max() <= limit
    assert (np.abs(quantised.reshape(3, 4) * scale - images) <= scale * 0.5000001).all()
    assert (spec.quantise(images.reshape(3, 2, 2)) == quantised).all()


def test_halves_round_up():
    spec = InputSpec(name="image", shape=(1, 1, 4), low=-8, high=8, scale=1)
    assert spec.quantise([[-1.5, -0.5, 0.5, 1.5]]).tolist() == [[[[-1, 0, 1, 2]]]]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([[1, 2], [3]], "images are not an array: "),
        (np.zeros((1, 24), complex), "images have dtype complex128; allowed: integers and floats"),
        ([["a"]], "images have dtype <U1; allowed: integers and floats"),
        (np.zeros(24), "images have shape (24,); expected (n, 3, 4, 2) or (n, 24)"),
        (np.zeros((1, 23)), "images have shape (1, 23); expected (n, 3, 4, 2) or (n, 24)"),
        (np.zeros((1, 3, 4)), "images have shape (1, 3, 4); expected (n, 3, 4, 2) or (n, 24)"),
        (3, "images have shape (); expected (n, 3, 4, 2) or (n, 24)"),
        (np.full((1, 24), np.nan), "images hold NaN"),
        (np.full((1, 24), np.inf), "images reach from inf to inf; allowed: -1…1"),
        (np.full((1, 24), -1.5), "images reach from -1.5 to -1.5; allowed: -1…1"),
        (np.full((1, 24), 1.01), "images reach from 1.01 to 1.01; allowed: -1…1"),
    ],
)
def test_images_that_do_not_fit_are_refused(images, message):
    for refuse in (IMAGE.quantise, network().predict):
        with pytest.raises(InputError) as caught:
            refuse(images)
        assert str(caught.value).startswith(message)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(-40000, 40000, [-2, -1, -1, 0, 1]), (-1, 1, [-1, -1, -1, 0, 1])]
)
def test_an_offset_moves_zero_and_a_clamp_bounds_levels(low: int, high: int, expected: list[int]) -> None:
    spec = InputSpec(
        name="image", shape=(1, 1, 5), low=-2.0, high=1.5, scale=1.0, offset=0.5, minimum=low, maximum=high
    )
    assert spec.quantise([[-1.9, -1.0, -0.1, 0.0, 1.5]]).reshape(-1).tolist() == expected
    assert spec.levels == (expected[0], 1)


def test_an_impossible_clamp_or_offset_is_refused() -> None:
    with pytest.raises(ModelError, match="input is clamped to 3…2"):
        network(input=dataclasses.replace(IMAGE, minimum=3, maximum=2))
    with pytest.raises(ModelError, match="or offset inf is not sensible"):
        network(input=dataclasses.replace(IMAGE, offset=float("inf")))
