"""Limits of descriptor fields: what the compiler writes is never beyond them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sterna.compiler import compile_network
from sterna.sim.configurations import random_configuration
from sterna.sim.networks import random_network
from sterna.spec.configuration import configuration_named
from sterna.spec.descriptors import decode_program
from sterna.spec.image import Region
from sterna.spec.limits import bits, op_limits, plane_limits


def test_the_limits_of_the_icebreaker() -> None:
    c = configuration_named("icebreaker")
    assert op_limits(c) == {"tiles": 64, "width": 2048, "height": 2048, "phases": 4, "tail_groups": 8}
    assert plane_limits(c) == {"chunks": 64}


def test_counts_are_stored_minus_one() -> None:
    assert [bits(limit) for limit in (1, 2, 3, 8, 9, 64)] == [0, 1, 2, 3, 4, 6]


@given(seed=st.integers(0, 2**32 - 1))
def test_programs_that_fit_are_within_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    configuration = random_configuration(rng)
    image = compile_network(random_network(rng, configuration), configuration)
    (program,) = (section for section in image.sections if section.region is Region.PROGRAM)
    for op in decode_program(np.frombuffer(program.data, "<u2").tolist()):
        assert all(getattr(op, name) <= limit for name, limit in op_limits(configuration).items())
        for plane in op.planes:
            assert all(getattr(plane, name) <= limit for name, limit in plane_limits(configuration).items())
