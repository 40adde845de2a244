"""Where a run computes, and what makes the same seed give the same bytes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from sterna.spec.errors import ConfigurationError
from sterna.spec.values import MAX_SEED, is_count, is_whole

DEVICES = ("cpu", "cuda")
CUBLAS = "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
"""Without this variable deterministic matrix products are refused on a GPU."""


def chosen_device(name: str | None = None) -> torch.device:
    """The named device, by default a GPU if there is one. Raises :class:`ConfigurationError` for one that is not."""
    there = torch.cuda.is_available()
    chosen = name or ("cuda" if there else "cpu")
    if chosen not in DEVICES:
        raise ConfigurationError(f"device is {name!r}; allowed: {', '.join(DEVICES)}")
    if chosen == "cuda":
        if not there:
            raise ConfigurationError("device is 'cuda', but torch finds no GPU; leave it out to train on the CPU")
        os.environ.setdefault(*CUBLAS)
    return torch.device(chosen)


@contextmanager
def reproducible(seed: int, threads: int) -> Iterator[torch.Generator]:
    """So many threads, deterministic kernels, own random numbers; restores what was.

    The same seed gives the same bytes for the same number of threads: it decides in which order sums are taken.
    Raises :class:`ConfigurationError` for no threads, and for a seed below 0 or above :data:`MAX_SEED`.
    """
    if not (is_whole(seed) and 0 <= seed <= MAX_SEED):
        raise ConfigurationError(f"seed is {seed!r}; allowed: 0…{MAX_SEED}")
    if not is_count(threads):
        raise ConfigurationError(f"threads is {threads!r}; allowed: 1 or more")
    before, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield torch.Generator().manual_seed(seed)
    finally:
        torch.use_deterministic_algorithms(deterministic)
        torch.set_num_threads(before)
