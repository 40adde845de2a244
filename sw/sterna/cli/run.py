"""``sterna run``: a model on a device, with inputs from a file."""

import warnings
from pathlib import Path
from tokenize import TokenError
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer

from sterna.cli.opening import Baudrate, opened
from sterna.cli.output import print_json, work
from sterna.spec.errors import InputError


def read_inputs(path: Path) -> npt.NDArray[Any]:
    """The array in a ``.npy`` or ``.csv`` file, one image along the first axis. Raises :class:`InputError`."""
    try:
        if path.suffix == ".npy":
            array = np.load(path, allow_pickle=False)
        elif path.suffix == ".csv":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # an empty file; said below
                array = np.loadtxt(path, delimiter=",", ndmin=2)
        else:
            raise InputError(f"{path} is neither .npy nor .csv")
    except FileNotFoundError:
        raise InputError(f"no file {path}") from None
    except (OSError, ValueError, EOFError, OverflowError, MemoryError, SyntaxError, TokenError) as error:
        reason = str(error).splitlines() or [type(error).__name__]
        raise InputError(f"{path} does not hold an array: {reason[0]}") from None
    if not isinstance(array, np.ndarray) or array.size == 0:
        raise InputError(f"{path} holds no images")
    return array


def run(
    model: Annotated[Path, typer.Argument(help="Model file.")],
    inputs: Annotated[Path, typer.Argument(help=".npy of shape (n, …) or .csv with one image a line.")],
    on: Annotated[
        str, typer.Option(help="golden, emulator:NAME, sim:NAME, socket://HOST:PORT or a serial port.")
    ] = "sim:icebreaker",
    baudrate: Baudrate = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the outputs to this .npy file.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Infer the images of a file and print the outputs, one line an image: its class, then its integers."""
    from sterna.spec.model_file import load_network

    network = load_network(model)
    images = read_inputs(inputs)
    network.input.quantise(images)  # bad input is told before anything is built or opened
    if on == "golden":
        outputs = network.predict(images)
    else:
        with work() as shown, opened(on, shown, baudrate=baudrate) as device:
            with shown.counted("load") as bar:
                device.load(network, progress=bar)
            with shown.counted(f"infer on {on}") as bar:
                outputs = device.infer(images, progress=bar)
    first = outputs[0] if isinstance(outputs, tuple) else outputs
    flat = first.reshape(len(first), -1)
    classes = flat.argmax(axis=1).tolist()
    if output is not None:
        with output.open("wb") as file:
            np.save(file, first, allow_pickle=False)
    if json:
        print_json({"n": len(flat), "classes": classes, "outputs": flat.tolist()})
    else:
        for chosen, values in zip(classes, flat.tolist(), strict=True):
            typer.echo(f"{chosen}: {' '.join(map(str, values))}")
