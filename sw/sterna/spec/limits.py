"""How large some fields of descriptors get in programs that a configuration's memories can hold.

The sequencer has registers of these sizes; the driver refuses images that ask for more.
"""

from sterna.spec.configuration import CHUNK, Configuration

MOST_PIXELS = 4096
"""In a row, and rows."""


def op_limits(configuration: Configuration) -> dict[str, int]:
    """Largest values of fields of an op."""
    c = configuration
    activations = c.simd * c.activation_depth
    return {
        "tiles": max(1, c.requantisers * c.parameter_depth // c.pe),  # each has parameters for all lanes
        "width": min(activations, MOST_PIXELS),  # each window begins at another activation
        "height": min(activations, MOST_PIXELS),
        "phases": c.simd,
        "tail_groups": c.pe // c.requantisers,
    }


def plane_limits(configuration: Configuration) -> dict[str, int]:
    """Largest values of fields of a plane."""
    return {"chunks": configuration.activation_depth // CHUNK}


def bits(limit: int) -> int:
    """Of a count up to ``limit`` that is stored minus one."""
    return (limit - 1).bit_length()
