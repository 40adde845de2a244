"""Sites of block RAM, where the placer alone does badly.

nextpnr's static placer lets block RAM float until little overlaps and then gives each the nearest site that is free.
Where nine of ten are taken, that makes wires twice as long at once (docs/decisions/0024-sites-for-block-ram.md).
"""

from collections.abc import Iterator

from sterna.spec.configuration import Configuration

_ROWS = (22, 46, 70, 82)
_COLUMNS = [(start + 9 * k + 2 * n, n) for start, blocks in ((4, 7), (69, 6)) for k in range(blocks) for n in range(4)]
"""Of an 85F's 208 block RAMs: rows of nextpnr's grid; columns, and which of its four tiles' one each is."""
_HALF = len(_COLUMNS) // 2


def block_ram_sites(configuration: Configuration, device: str) -> str:
    """Commands for yosys that give each block RAM a site, behind synthesis; none for what needs none.

    ``device``: the part's name. The commands fail if block RAM is left without one.
    """
    if configuration.name != "ecp5-85x4" or not device.endswith("-85F"):
        return ""
    sites = [*_sites_of_cores(configuration), *_sites_of_link()]
    commands = [f'setattr -set BEL "{site}" c:accelerator.{name}' for name, site in sites]
    return "\n".join([*commands, "select -assert-none t:DP16KD a:BEL %d"])


def _sites_of_cores(configuration: Configuration) -> Iterator[tuple[str, str]]:
    """A quarter of the part for each core. A bank of weights and one of activations, two block RAMs each, stand in two
    rows side by side, and beside these two of the rest."""
    rest = [f"parameters_{r}.memory.0.{half}" for r in range(configuration.requantisers) for half in range(2)]
    rest += [f"activation_masks.memory.memory.0.{part}" for part in range(4)]
    rest += ["pool.maxima.memory.0.0", "program.memory.0.0"]
    columns = [[f"{kind}_{j}.memory.0.{half}" for half in range(2)]
               for j in range(configuration.simd) for kind in ("blocks", "activations")]  # fmt: skip
    for k in range(0, len(rest), 2):
        columns.insert(3 * (k // 2) + 2, rest[k : k + 2])
    for core in range(configuration.cores):
        for column, names in enumerate(columns):
            for row, name in enumerate(names, core // 2 * 2):
                yield f"core_{core}.{name}", _site(row, len(_COLUMNS) - 1 - column if core & 1 else column)


def _sites_of_link() -> Iterator[tuple[str, str]]:
    """In the middle, where cores leave some."""
    for name, row, column in (("program", 1, _HALF - 2), ("ring", 1, _HALF - 1), ("work", 2, _HALF - 1)):
        yield f"endpoint.{name}.0.0", _site(row, column)


def _site(row: int, column: int) -> str:
    x, number = _COLUMNS[column]
    return f"X{x}/Y{_ROWS[row]}/EBR{number}"
