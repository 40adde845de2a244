"""The core alone, its memories written directly: outputs equal golden, counters equal what the masks say."""

from typing import Any

import numpy as np
import pytest

from gateware.streams import simulate
from networks import random_configuration, random_dense_network, random_images
from sterna.compiler import compile_network, model_cycles
from sterna.gateware.core import Core
from sterna.golden import trace
from sterna.spec.configuration import Configuration
from sterna.spec.image import word_bytes
from sterna.spec.layout import words
from sterna.spec.network import IntegerNetwork


def run_core(
    configuration: Configuration, network: IntegerNetwork, images: np.ndarray, *, activation_skip: bool,
    block_skip: bool, rng: np.random.Generator,
) -> tuple[np.ndarray, dict[str, int]]:  # fmt: skip
    """Outputs (n, outputs) and counters of one run an image, slots taking turns, reads at random while running."""
    image = compile_network(network, configuration)
    core = Core(configuration=configuration)
    outputs: list[list[int]] = []
    counters: dict[str, int] = {}

    async def read(ctx: Any, word: int, bank: int) -> int:
        ctx.set(core.reads.payload, {"word": word, "bank": bank})
        ctx.set(core.reads.valid, 1)
        await ctx.tick().until(core.reads.ready)
        ctx.set(core.reads.valid, 0)
        ctx.set(core.read_values.ready, 1)
        (value,) = await ctx.tick().sample(core.read_values.payload).until(core.read_values.valid)
        return int(value)

    async def bench(ctx: Any) -> None:
        for section in image.sections:
            size = word_bytes(section.region, configuration)
            ctx.set(core.write.strobe, 1)
            for k in range(0, len(section.data), size):
                ctx.set(core.write.region, int(section.region))
                ctx.set(core.write.address, section.address + k // size)
                ctx.set(core.write.data, int.from_bytes(section.data[k : k + size], "little"))
                await ctx.tick()
        ctx.set(core.write.strobe, 0)
        place, simd = image.outputs[0], configuration.simd
        for n, tensor in enumerate(network.input.quantise(images)):
            offset = (n & 1) * image.slot_offset
            activations = image.input.layout.scatter(tensor)
            for k, value in enumerate(activations):
                burst = {"word": image.input.word + offset, "first": k == 0, "last": k == len(activations) - 1}
                ctx.set(core.inputs.payload, burst | {"value": int(value)})
                ctx.set(core.inputs.valid, 1)
                await ctx.tick().until(core.inputs.ready)
            ctx.set(core.inputs.valid, 0)
            ctx.set(core.starts.payload, {
                "entry": image.entry, "offset": offset, "no_activation_skip": not activation_skip,
                "no_block_skip": not block_skip, "ops": 0,
            })  # fmt: skip
            ctx.set(core.starts.valid, 1)
            await ctx.tick().until(core.starts.ready)
            ctx.set(core.starts.valid, 0)
            await ctx.tick()
            while ctx.get(core.running):
                if rng.random() < 0.1:
                    await read(ctx, int(rng.integers(configuration.activation_depth)), int(rng.integers(simd)))
                await ctx.tick()
            count = place.layout.words * simd
            flat = [await read(ctx, place.word + offset + k // simd, k % simd) for k in range(count)]
            outputs.append(place.layout.gather(np.array(flat)))
        counters.update({name: ctx.get(core.counters[name]) for name, _ in core.counters.shape()})

    simulate(core, bench)
    stacked = np.array(outputs)
    return stacked.squeeze((1, 2)) if stacked.shape[1:3] == (1, 1) else stacked, counters


@pytest.mark.parametrize("seed", range(16))
def test_outputs_and_counters_equal_golden_on_random_networks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    configuration = random_configuration(rng)
    network = random_dense_network(rng, configuration.act_bits)
    images = random_images(rng, network, 2)
    skips = {"activation_skip": bool(seed & 1), "block_skip": bool(seed & 2)}
    outputs, counters = run_core(configuration, network, images, rng=rng, **skips)
    assert (outputs == network.predict(images)).all()

    classes = ("issue_cycles", "empty_cycles", "idle_cycles", "requantiser_stalls", "memory_stalls")
    assert counters["cycles"] == sum(counters[name] for name in classes)
    tensors = trace(network, images)
    issued = stored = positions = 0
    for layer in network.layers:
        source = tensors[layer.planes[0].source].reshape(len(images), -1) != 0
        trits = layer.planes[0].trits.reshape(len(layer.bias), -1)
        tiles = -(-(words(len(trits), configuration.simd) * configuration.simd) // configuration.pe)
        padded = np.zeros((tiles * configuration.pe, trits.shape[1]), np.int8)
        padded[: len(trits)] = trits
        blocks = padded.reshape(tiles, configuration.pe, -1).any(axis=1)
        run = words(trits.shape[1], configuration.simd) * configuration.simd
        positions += len(images) * tiles * run
        stored += len(images) * int(blocks.sum())
        active = source if skips["activation_skip"] else np.ones_like(source)
        if skips["block_skip"]:
            issued += int((active[:, None] & blocks).sum())
        elif skips["activation_skip"]:
            issued += tiles * int(active.sum())
        else:
            issued += len(images) * tiles * run
    assert (counters["issued"], counters["stored"], counters["positions"]) == (issued, stored, positions)


def test_cycles_follow_the_cycle_model() -> None:
    rng = np.random.default_rng(5)
    configuration = Configuration(
        name="test", simd=4, pe=8, weight_depth=4096, mask_depth=512, activation_depth=512, parameter_depth=512
    )
    while True:
        network = random_dense_network(rng, 8, widest=160, layers=2)
        if (
            len(network.layers) == 2
            and network.layers[1].planes[0].trits.any(axis=0).mean() > 0
            and network.weights > 9000
        ):
            break
    images = random_images(rng, network, 2)
    for skips in ({"activation_skip": True, "block_skip": True}, {"activation_skip": False, "block_skip": False}):
        _, counters = run_core(configuration, network, images, rng=np.random.default_rng(0), **skips)
        modelled = 2 * model_cycles(network, configuration, images, **skips).total
        # what the model leaves out: descriptor, pipeline and drain of each op
        extra = counters["cycles"] - counters["memory_stalls"] - modelled
        assert 0 <= extra <= 2 * len(network.layers) * 36
