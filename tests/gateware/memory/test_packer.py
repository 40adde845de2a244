"""The packer against its definition: activation k in bank k mod simd, masks of whole chunks."""

import random
from typing import Any

import pytest

from gateware.streams import simulate, sink, source
from sterna.gateware.memory.packer import Packer
from sterna.spec.configuration import CHUNK, Configuration
from sterna.spec.layout import whole_chunks, words


@pytest.mark.parametrize("seed", range(12))
def test_runs_land_in_their_banks_with_their_masks_under_random_stalls(seed: int) -> None:
    rng = random.Random(seed)
    simd = rng.choice([1, 2, 4, 8])
    group = rng.choice([g for g in (1, 2, 4) if g <= simd])
    c = Configuration(
        name="t", simd=simd, pe=4, weight_depth=16, mask_depth=16, activation_depth=128, parameter_depth=16
    )
    values: list[list[int | None]] = [[None] * c.activation_depth for _ in range(simd)]
    masks: list[list[int | None]] = [[None] * (c.activation_depth // CHUNK) for _ in range(simd)]
    expected_values = [list(bank) for bank in values]
    expected_masks = [list(bank) for bank in masks]
    payloads = []
    free = 0
    for _ in range(3):
        groups, dropped = rng.randint(1, 3 * CHUNK * simd // group), rng.randint(0, 2)
        word, free = free, free + whole_chunks(words(groups * group, simd))
        for k in range(groups + dropped):
            run = [rng.choice([0, 0, rng.randint(-127, 127)]) for _ in range(group)]
            payloads.append({
                "values": run, "word": word if k == 0 else rng.randrange(c.activation_depth), "write": k < groups,
                "first": k == 0, "last": k == groups + dropped - 1,
            })  # fmt: skip
            for r, value in enumerate(run if k < groups else []):
                element = k * group + r
                at = word + element // simd
                expected_values[element % simd][at] = value
                for bank in expected_masks:
                    bank[at // CHUNK] = bank[at // CHUNK] or 0
                expected_masks[element % simd][at // CHUNK] |= (value != 0) << at % CHUNK  # type: ignore[operator]

    packer = Packer(configuration=c, group=group)
    writes: list[Any] = []
    simulate(
        packer, source(packer.run, payloads, rng, rng.choice([0, 0.5])),
        sink(packer.write, writes, len(payloads), rng, rng.choice([0, 0.5])),
    )  # fmt: skip
    for write in writes:
        for j in range(simd):
            if write["banks"] >> j & 1:
                values[j][write["word"]] = write["values"][j]
            if write["mask_write"]:
                masks[j][write["word"] // CHUNK] = write["masks"][j]
    assert values == expected_values
    assert masks == expected_masks
