"""``sterna eval``: accuracy of a model over a data set, on golden or on a device, held against golden."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import numpy.typing as npt
import typer

from sterna.cli.compile import ActivationSkip, BlockSkip
from sterna.cli.opening import Baudrate, opened
from sterna.cli.output import Work, print_json, print_table, work

if TYPE_CHECKING:
    from sterna.data import Dataset
    from sterna.driver import Counters, Device
    from sterna.spec.network import IntegerNetwork

Outputs = npt.NDArray[np.int32] | tuple[npt.NDArray[np.int32], ...]


def equal_images(one: Outputs, other: Outputs) -> int:
    """For how many images all outputs are the same, every one of them."""
    pairs = zip(_listed(one), _listed(other), strict=True)
    return int(np.logical_and.reduce([(a == b).reshape(len(a), -1).all(axis=1) for a, b in pairs]).sum())


def held_out_value(outputs: Outputs, network: "IntegerNetwork", data: "Dataset") -> float:
    """The data set's metric of the first output, over its test part."""
    return data.metric(_listed(outputs)[0] * network.output_scale[0], data)


def _listed(outputs: Outputs) -> Sequence[npt.NDArray[np.int32]]:
    return outputs if isinstance(outputs, tuple) else (outputs,)


@dataclass(frozen=True)
class Measured:
    """Outputs of a device for a batch, and what its counters say about them."""

    outputs: Outputs
    counters: "Counters"


def measure(device: "Device", images: npt.NDArray[Any], text: str, work: Work) -> Measured:
    """Infers a batch with a bar and takes the difference of the counters."""
    before = device.counters()
    with work.counted(text) as bar:
        outputs = device.infer(images, progress=bar)
    return Measured(outputs, device.counters() - before)


def evaluate(
    model: Annotated[Path, typer.Argument(help="Model file.")],
    data: Annotated[str, typer.Option(help="Data set; its held-out part is used.")] = "digits",
    on: Annotated[
        str, typer.Option(help="golden, emulator:NAME, sim:NAME, socket://HOST:PORT or a serial port.")
    ] = "golden",
    baudrate: Baudrate = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Use only the first images.")] = None,
    activation_skip: ActivationSkip = True,
    block_skip: BlockSkip = True,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of data sets, before $STERNA_DATA.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure accuracy on held-out data, and how many images have outputs equal to golden's."""
    from sterna.data import load
    from sterna.spec.model_file import load_network

    network = load_network(model)
    dataset = load(data, data_dir)
    dataset = replace(dataset, test_images=dataset.test_images[:limit], test_labels=dataset.test_labels[:limit])
    images = dataset.test_images.reshape(len(dataset.test_images), -1)
    golden = network.predict(images)
    cycles: float | None = None
    outputs = golden
    if on != "golden":
        from sterna.spec.skips import Skips

        with work() as shown, opened(on, shown, baudrate=baudrate) as device:
            with shown.counted("load") as bar:
                device.load(network, skips=Skips(activation_skip, block_skip), progress=bar)
            measured = measure(device, images, f"infer on {on}", shown)
        outputs = measured.outputs
        cycles = measured.counters.cycles / len(images) or None  # an emulator counts none
    found = {
        "n": len(images), "accuracy": held_out_value(outputs, network, dataset),
        "equal_golden": equal_images(outputs, golden), "cycles_per_image": cycles,
    }  # fmt: skip
    if json:
        print_json(found)
    else:
        print_table(f"{model} on {on}", ["measure", data], [
            ["held-out images", str(found["n"])], [dataset.metric.name, f"{found['accuracy']:.2%}"],
            ["equal to golden, every output", f"{found['equal_golden']} of {found['n']}"],
            ["cycles per image", "-" if cycles is None else f"{cycles:.1f}"],
        ])  # fmt: skip
    if found["equal_golden"] != found["n"]:
        raise typer.Exit(1)
