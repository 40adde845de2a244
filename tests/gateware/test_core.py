"""The core alone, its memories written directly: outputs equal golden, counters equal what the masks say."""

from collections import deque
from typing import Any

import numpy as np
import pytest

from sterna.compiler import compile_network, model_cycles
from sterna.compiler.compile import fit_report
from sterna.driver.streaming import overlap
from sterna.gateware.core import Core
from sterna.golden import trace
from sterna.link.machine import Machine
from sterna.sim.checks.testbench import simulate
from sterna.sim.configurations import random_configuration
from sterna.sim.networks import random_dense, random_images, random_network, random_widths
from sterna.spec.configuration import Configuration
from sterna.spec.image import Section, word_bytes
from sterna.spec.network import IntegerNetwork
from sterna.spec.skips import ALL_SKIPS, NO_SKIPS, Skips


def run_core(
    configuration: Configuration,
    network: IntegerNetwork,
    images: np.ndarray,
    *,
    skips: Skips,
    rng: np.random.Generator,
    reads: float = 0.1,
) -> tuple[list[dict[str, np.ndarray]], dict[str, int]]:
    """Output tensors of one run an image, and counters; slots take turns, reads come at random while running, in
    ``reads`` of the cycles in which some could."""
    image, simd = compile_network(network, configuration, skips), configuration.simd
    core = Core(configuration=configuration)
    outputs: list[dict[str, np.ndarray]] = []
    counters: dict[str, int] = {}

    async def read(ctx: Any, requests: list[tuple[int, int]]) -> list[int]:
        """What lies at each (word, bank); the next is asked for while the answer before waits to be taken."""
        waiting, values = deque(requests), []
        while len(values) < len(requests):
            if waiting:
                ctx.set(core.reads.payload, {"word": waiting[0][0], "bank": waiting[0][1]})
            takes = rng.random() < 0.5
            ctx.set(core.reads.valid, bool(waiting))
            ctx.set(core.read_values.ready, takes)
            sampled = core.reads.ready, core.read_values.valid, core.read_values.payload
            _, _, ready, answered, value = await ctx.tick().sample(*sampled)
            if answered and takes:
                values.append(value)
            if waiting and ready:
                waiting.popleft()
        ctx.set(core.reads.valid, 0)
        ctx.set(core.read_values.ready, 0)
        return values

    async def read_before(ctx: Any, n: int) -> None:
        """Some activations of the other slot's outputs, where the image before has left them."""
        place = image.outputs[rng.integers(len(image.outputs))]
        layout = place.layout
        pixels = [tuple(rng.integers((layout.height, layout.width, layout.channels))) for _ in range(3)]
        elements = [int(layout.element(y, x) + channel) for y, x, channel in pixels]
        word = place.word + (~n & 1) * image.slot_offset
        values = await read(ctx, [(word + at // simd, at % simd) for at in elements])
        if n and image.slot_offset and len(image.segments) == 1:
            assert values == [outputs[n - 1][place.name][pixel] for pixel in pixels]

    async def write(ctx: Any, sections: tuple[Section, ...]) -> None:
        for section in sections:
            size = word_bytes(section.region, configuration)
            for k in range(0, len(section.data), size):
                ctx.set(core.write.region, int(section.region))
                ctx.set(core.write.address, section.address + k // size)
                word = int.from_bytes(section.data[k : k + size], "little")
                ctx.set(core.write.data, word << len(core.write.data) - 8 * size)
                ctx.set(core.write.valid, 1)
                await ctx.tick().until(core.write.ready)
                ctx.set(core.write.valid, 0)
                if rng.random() < 0.3:
                    await ctx.tick()

    async def bench(ctx: Any) -> None:
        await write(ctx, image.sections)
        noise = rng.integers(1, 1 << (configuration.act_bits - 1), configuration.activation_depth * simd)
        for k, value in enumerate(noise):  # what earlier networks left
            burst = {"word": 0, "first": k == 0, "last": k == len(noise) - 1}
            ctx.set(core.inputs.payload, burst | {"value": int(value)})
            ctx.set(core.inputs.valid, 1)
            await ctx.tick().until(core.inputs.ready)
        for n, tensor in enumerate(network.input.quantise(images)):
            offset = (n & 1) * image.slot_offset
            activations = image.input.layout.scatter(tensor)
            for k, value in enumerate(activations):
                burst = {"word": image.input.word + offset, "first": k == 0, "last": k == len(activations) - 1}
                ctx.set(core.inputs.payload, burst | {"value": int(value)})
                ctx.set(core.inputs.valid, 1)
                await ctx.tick().until(core.inputs.ready)
            ctx.set(core.inputs.valid, 0)
            await write(ctx, image.segments[0].sections)
            for index, segment in enumerate(image.segments):
                ctx.set(core.starts.payload, {
                    "entry": image.ops[image.first_op(index)].entry, "offset": offset, "ops": segment.ops,
                })  # fmt: skip
                ctx.set(core.starts.valid, 1)
                await ctx.tick().until(core.starts.ready)
                ctx.set(core.starts.valid, 0)
                await ctx.tick()
                following = image.segments[index + 1].sections if index + 1 < len(image.segments) else ()
                meanwhile = not overlap(segment.sections, following, configuration)
                if meanwhile:
                    await write(ctx, following)
                while ctx.get(core.running):
                    if rng.random() < reads:
                        await read_before(ctx, n)
                        assert not ctx.get(core.read_values.valid)
                    await ctx.tick()
                if not meanwhile:
                    await write(ctx, following)
            tensors: dict[str, np.ndarray] = {}
            for place in image.outputs:
                count = place.layout.words * simd
                flat = await read(ctx, [(place.word + offset + k // simd, k % simd) for k in range(count)])
                found = place.layout.gather(np.array(flat))
                before = tensors.get(place.name, found[:, :, :0])
                tensors[place.name] = np.concatenate([before, found], axis=2)
            outputs.append(tensors)
        counters.update({name: ctx.get(core.counters[name]) for name, _ in core.counters.shape()})

    simulate(core, bench)
    return outputs, counters


@pytest.mark.parametrize("kind", ["dense", "any"])
@pytest.mark.parametrize("seed", range(6))
def test_outputs_and_counters_equal_golden_and_the_machine_on_random_networks(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    configuration = random_configuration(rng, streaming=None if kind == "any" else False)
    if kind == "dense":
        density = float(rng.choice([0, 0.3, 0.7, 1]))
        network = random_dense(rng, random_widths(rng), act_bits=configuration.act_bits, block=4, density=density)
    else:
        network = random_network(rng, configuration, layers=3)
    images = random_images(rng, network, 2).reshape(2, *network.input.shape)
    dense_fits = fit_report(network, configuration, NO_SKIPS).fits
    skips = Skips(activations=not seed & 1, blocks=not seed & 2 or not dense_fits)
    outputs, counters = run_core(configuration, network, images, rng=rng, skips=skips)
    tensors = trace(network, images)
    for n in range(2):
        assert outputs[n].keys() == set(network.outputs)
        for name, tensor in outputs[n].items():
            assert (tensor == tensors[name][n]).all()

    classes = ("issue_cycles", "empty_cycles", "idle_cycles", "requantiser_stalls", "memory_stalls")
    assert counters["cycles"] == sum(counters[name] for name in classes)
    machine = Machine(configuration)
    image = compile_network(network, configuration, skips)
    for section in image.sections:
        machine.write(section.region, section.address, section.data)
    for n in range(2):
        offset = n * image.slot_offset
        machine.put(image.input.word + offset, image.input.layout.scatter(tensors[network.input.name][n]))
        for index, segment in enumerate(image.segments):
            for section in segment.sections:
                machine.write(section.region, section.address, section.data)
            machine.run(image.ops[image.first_op(index)].entry, offset, segment.ops)
    assert counters["stored"] == machine.stored
    assert counters["positions"] == machine.positions
    # Words that nothing has written hold no zeros for the machine and no set mask for the core, or the other way round;
    # without block skips they are issued, with zero blocks.
    if skips.blocks or not configuration.activation_skip:
        assert counters["issued"] == machine.issued


@pytest.mark.parametrize("seed", range(2))
def test_weights_that_are_written_while_feeders_read_cost_cycles_and_change_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    configuration = Configuration(
        name="test", simd=4, pe=8, weight_depth=128, mask_depth=64, activation_depth=512, parameter_depth=128
    )
    network = random_dense(rng, (96, 96, 96, 10), density=0.7)
    images = random_images(rng, network, 1).reshape(1, *network.input.shape)
    (found,), counters = run_core(configuration, network, images, skips=ALL_SKIPS, rng=rng)
    tensors = trace(network, images)
    assert all((tensor == tensors[name][0]).all() for name, tensor in found.items())
    assert counters["memory_stalls"] > 0


@pytest.mark.parametrize("latency", [1, 2])
def test_reads_are_answered_while_the_pipeline_holds(latency: int) -> None:
    rng = np.random.default_rng(latency)
    configuration = Configuration(
        name="test", simd=2, pe=16, weight_depth=128, mask_depth=64, activation_depth=512, parameter_depth=256,
        read_latency=latency,
    )  # fmt: skip
    network = random_dense(rng, (8, 80, 80, 80), block=16, density=0.2)
    images = random_images(rng, network, 2).reshape(2, *network.input.shape)
    outputs, counters = run_core(configuration, network, images, skips=ALL_SKIPS, rng=rng, reads=1)
    tensors = trace(network, images)
    for n in range(2):
        assert all((tensor == tensors[name][n]).all() for name, tensor in outputs[n].items())
    assert counters["requantiser_stalls"] > counters["cycles"] / 4


def test_cycles_follow_the_cycle_model() -> None:
    rng = np.random.default_rng(5)
    configuration = Configuration(
        name="test", simd=4, pe=8, weight_depth=4096, mask_depth=512, activation_depth=512, parameter_depth=512
    )
    network = random_dense(rng, (150, 90, 70), density=0.7)
    images = random_images(rng, network, 2)
    for skips in (ALL_SKIPS, NO_SKIPS):
        _, counters = run_core(configuration, network, images, rng=np.random.default_rng(0), skips=skips)
        modelled = 2 * model_cycles(network, configuration, images, skips).total
        # what the model leaves out: descriptor, pipeline and drain of each op
        extra = counters["cycles"] - counters["memory_stalls"] - modelled
        assert 0 <= extra <= 2 * len(network.layers) * 36
