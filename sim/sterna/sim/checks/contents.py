"""Contents that meet every edge of the stuffing: runs of zeros, full blocks, shortest and longest frames."""

import random

from sterna.spec.frames import LONGEST_BLOCK as BLOCK
from sterna.spec.frames import MAX_CONTENT


def edge_contents() -> list[bytes]:
    """Every edge once."""
    ones, zeros = b"\x01" * MAX_CONTENT, bytes(MAX_CONTENT)
    lengths = [2, 3, *range(BLOCK - 5, BLOCK + 2), 2 * BLOCK, 2 * BLOCK + 1, MAX_CONTENT]
    plain = [source[:n] for n in lengths for source in (ones, zeros)]
    split = [ones[:n] + b"\0" + ones[:k] for n in (BLOCK - 1, BLOCK, BLOCK + 1) for k in (0, 1, BLOCK - 4, BLOCK)]
    ends = [b"\0" + ones[:BLOCK], ones[:BLOCK] + b"\0\0", b"\0" * 3 + ones[:3] + b"\0" * 3]
    return plain + split + ends


def random_content(rng: random.Random, most: int = MAX_CONTENT) -> bytes:
    """2…``most`` bytes; between hardly any and hardly anything but zeros."""
    length = rng.choice([rng.randint(2, min(most, 40)), rng.randint(2, most)])
    zeros = rng.choice([0, 0.01, 0.5, 0.99])
    return bytes(0 if rng.random() < zeros else rng.randint(1, 255) for _ in range(length))
