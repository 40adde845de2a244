"""How close the accelerator comes to issuing one block a feeder and cycle: densities of blocks × of activations.

``ideal`` is what a core without any overhead would take: the blocks issued, over the feeders. Both skips are on in a
row's ``cycles``; what each of them saves is seen with an image without it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sterna.compiler import model_cycles
from sterna.driver import Device
from sterna.golden import trace
from sterna.sim.configurations import CONVOLUTIONAL, simulated
from sterna.sim.device import open_simulation
from sterna.sim.topologies import conv_layer, dense_layer
from sterna.sim.verification import DifferenceError
from sterna.spec.arithmetic import max_activation
from sterna.spec.errors import ToolError
from sterna.spec.network import IntegerNetwork
from sterna.spec.skips import ALL_SKIPS, SKIPS

BLOCK_DENSITIES = (1.0, 0.75, 0.5, 0.25, 0.125, 0.06)
ACTIVATION_DENSITIES = (1.0, 0.5, 0.25)
TIMEOUT = 60.0
"""Seconds that the simulation may take to answer."""


@dataclass(frozen=True)
class Bench:
    """A layer, and the configuration that it runs on."""

    layer: str
    configuration: str
    make: Callable[[float], IntegerNetwork]
    """A network whose first layer it is, with this density of blocks."""


BENCHES = (
    Bench("mlp 256→256", "icebreaker", lambda density: dense_layer(1, 256, 256, block=8, density=density)),
    Bench("conv 3×3 32×32×16→16", CONVOLUTIONAL.name,
          lambda density: conv_layer(1, (32, 32, 16), 16, block=16, density=density)),
)  # fmt: skip
"""A hidden layer of an MLP; the first convolution of ResNet-8's first stack."""


@dataclass(frozen=True)
class Measurement:
    """One layer at one pair of densities."""

    layer: str
    configuration: str
    block_density: float
    activation_density: float
    cycles: int
    """With both skips."""
    ideal_cycles: float
    """Blocks issued, over the feeders."""
    modelled_cycles: float
    """By :func:`sterna.compiler.model_cycles`."""
    with_skips: dict[str, int]
    """Cycles with both skips, one of them, none."""
    classes: dict[str, int]
    """The cycles with both skips, by what they went into."""

    @property
    def ratio(self) -> float:
        return self.ideal_cycles / self.cycles

    def row(self) -> dict[str, Any]:
        """What ``sterna bench zero-skip --json`` prints of it."""
        return {
            "layer": self.layer, "configuration": self.configuration, "block_density": self.block_density,
            "activation_density": self.activation_density, "cycles": self.cycles, "ideal_cycles": self.ideal_cycles,
            "ratio": round(self.ratio, 4),
        }  # fmt: skip

    def details(self) -> dict[str, Any]:
        """All of it."""
        return self.row() | {
            "modelled_cycles": self.modelled_cycles, "with_skips": self.with_skips, "classes": self.classes,
        }  # fmt: skip


def random_input(seed: int, network: IntegerNetwork, density: float) -> np.ndarray:
    """int64 (height, width, channels): this share of the values, spread at random, is not zero."""
    rng = np.random.default_rng(seed)
    limit = max_activation(network.act_bits)
    size = int(np.prod(network.input.shape))
    values = rng.integers(1, limit + 1, size) * rng.choice([-1, 1], size)
    values[rng.permutation(size)[round(density * size) :]] = 0
    return np.asarray(values.reshape(network.input.shape))


def measure(
    bench: Bench,
    block_densities: Sequence[float],
    activation_densities: Sequence[float],
) -> Iterator[Measurement]:
    """Runs a layer on the Verilated accelerator at each pair of densities, one image each.

    Raises :class:`DifferenceError` if an output is not golden's.
    """
    configuration = simulated(bench.configuration)
    with Device(open_simulation(bench.configuration), timeout=TIMEOUT, configuration=configuration) as device:
        for block_density in block_densities:
            network = bench.make(block_density)
            device.load(network)
            layer = network.layers[0]
            for activation_density in activation_densities:
                image = random_input(2, network, activation_density)
                golden = trace(network, image[None])[layer.name][0]
                if (device.trace(image)[layer.name] != golden).any():
                    raise DifferenceError(f"{bench.layer}: the output is not golden's")
                runs = {}
                for skips in reversed(SKIPS):  # the last with both, for what follows
                    device.load(network, skips=skips)
                    runs[str(skips)] = device.profile(image)[0]
                counted = runs[str(ALL_SKIPS)].counters
                yield Measurement(
                    layer=bench.layer, configuration=bench.configuration, block_density=block_density,
                    activation_density=activation_density, cycles=counted.cycles,
                    ideal_cycles=counted.issued / configuration.simd,
                    modelled_cycles=model_cycles(network, configuration, image[None]).layers[layer.name],
                    with_skips={str(skips): runs[str(skips)].counters.cycles for skips in SKIPS},
                    classes={
                        name: getattr(counted, name)
                        for name in ("issue_cycles", "empty_cycles", "idle_cycles", "requantiser_stalls",
                                     "memory_stalls")
                    },
                )  # fmt: skip


def plot(measurements: Sequence[Measurement], path: Path) -> None:
    """Ratio and cycles over the density of blocks, a line for each density of activations, a column for each layer.

    The file's suffix chooses the format. Raises :class:`ToolError` without matplotlib.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ToolError(f"plots need more tools ({error}); mend: pip install 'sterna[plot]'") from error
    layers = list(dict.fromkeys(each.layer for each in measurements))
    figure = Figure(figsize=(5 * len(layers), 7), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, len(layers), squeeze=False, sharex=True)
    for column, layer in enumerate(layers):
        of_layer = [each for each in measurements if each.layer == layer]
        ratio, cycles = axes[0][column], axes[1][column]
        for density in dict.fromkeys(each.activation_density for each in of_layer):
            line = [each for each in of_layer if each.activation_density == density]
            blocks = [each.block_density for each in line]
            label = f"{density:.0%} of activations"
            ratio.plot(blocks, [each.ratio for each in line], marker="o", label=label)
            (drawn,) = cycles.plot(blocks, [each.cycles for each in line], marker="o", label=label)
            cycles.plot(blocks, [each.ideal_cycles for each in line], linestyle=":", color=drawn.get_color())
        ratio.set(title=f"{layer} on {of_layer[0].configuration}", ylabel="ideal / cycles", ylim=(0, 1.02))
        cycles.set(xlabel="share of weight blocks", ylabel="cycles (dotted: ideal)", yscale="log", xscale="log")
        cycles.set_xticks(BLOCK_DENSITIES, [f"{each:g}" for each in BLOCK_DENSITIES], minor=False)
        cycles.minorticks_off()
        ratio.legend()
        for each in (ratio, cycles):
            each.grid(visible=True, alpha=0.3)
    figure.savefig(path)
