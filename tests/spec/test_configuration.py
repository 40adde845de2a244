"""Configurations: limits, messages, digest."""

import dataclasses
import re

import pytest

from sterna.spec.configuration import BUILD_ONLY, STANDARD, Configuration, Primitive, configuration_named
from sterna.spec.errors import ConfigurationError
from sterna.spec.trits import TritCode

BASE = configuration_named("icebreaker")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": ""}, "name is ''; allowed: a non-empty string"),
        ({"simd": 3}, "simd is 3; allowed: a power of two, 1…32"),
        ({"simd": 64}, "simd is 64; allowed: a power of two, 1…32"),
        ({"simd": 4.0}, "simd is 4.0; allowed: an integer"),
        ({"pe": True}, "pe is True; allowed: an integer"),
        ({"pe": 6}, "pe is 6; allowed: a multiple of 4, 4…64"),
        ({"pe": 68}, "pe is 68; allowed: a multiple of 4, 4…64"),
        ({"weight_code": TritCode.TRIT5}, "pe is 8; allowed: a multiple of 5, 4…64"),
        ({"weight_code": TritCode.TRIT5, "pe": 65}, "pe is 65; allowed: a multiple of 5, 4…64"),
        (
            {"weight_code": TritCode.TRIT5, "pe": 15, "requantisers": 2},
            "requantisers is 2; allowed: a power of two ≤ simd (4) that divides pe (15), at most a quarter of it",
        ),
        ({"weight_code": "trit5"}, "weight_code is 'trit5'; allowed: trit2, trit5"),
        ({"weight_code": Primitive.BLOCK}, "weight_code is <Primitive.BLOCK: 'block'>; allowed: trit2, trit5"),
        (
            {"requantisers": 8},
            "requantisers is 8; allowed: a power of two ≤ simd (4) that divides pe (8), at most a quarter of it",
        ),
        (
            {"pe": 12, "simd": 8, "requantisers": 8},
            "requantisers is 8; allowed: a power of two ≤ simd (8) that divides pe (12), at most a quarter of it",
        ),
        ({"act_bits": 1}, "act_bits is 1; allowed: 2…8"),
        ({"acc_bits": 25}, "acc_bits is 25; allowed: 8…24"),
        ({"weight_depth": 3}, "weight_depth is 3; allowed: a power of two, 16…65536"),
        ({"activation_depth": 8}, "activation_depth is 8; allowed: a power of two, 16…65536"),
        ({"weights_in": "spram"}, "weights_in is 'spram'; allowed: block, spram"),
        ({"weights_in": Primitive.LUT}, "weights_in is <Primitive.LUT: 'lut'>; allowed: block, spram"),
        ({"masks_in": Primitive.SPRAM}, "masks_in is <Primitive.SPRAM: 'spram'>; allowed: block, lut"),
        ({"parameters_in": 1}, "parameters_in is 1; allowed: block, lut"),
        ({"activation_skip": 1}, "activation_skip is 1; allowed: True or False"),
        (
            {"activations_in": Primitive.SPRAM},
            "activations_in is <Primitive.SPRAM: 'spram'>; allowed: block with activation_skip",
        ),
        ({"read_latency": 3}, "read_latency is 3; allowed: 1 or 2"),
        ({"output_queue": 3}, "output_queue is 3; allowed: 2 or 4"),
        ({"cores": 3}, "cores is 3; allowed: 1, 2 or 4, at most 8"),
        ({"cores": 0}, "cores is 0; allowed: 1, 2 or 4, at most 8"),
        ({"simd": 32, "cores": 4}, "cores is 4; allowed: 1, 2 or 4, at most 1"),
        ({"program_depth": 1 << 17}, "program_depth is 131072; allowed: a power of two, 16…65536"),
    ],
)
def test_parameters_out_of_range_are_refused_by_name(change, message):
    with pytest.raises(ConfigurationError, match=rf"^{re.escape(message)}$"):
        dataclasses.replace(BASE, **change)


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(
        ConfigurationError, match=rf"^no configuration 'nothing'; known: {', '.join(sorted(STANDARD))}$"
    ):
        configuration_named("nothing")


def test_the_digest_covers_every_parameter_but_those_of_the_build_alone():
    base = dataclasses.replace(BASE, pe=20)  # which both codes of weights allow
    other = {
        "simd": 8, "pe": 16, "requantisers": 2, "act_bits": 4, "acc_bits": 20, "weight_depth": 512, "mask_depth": 512,
        "activation_depth": 1024, "parameter_depth": 1024, "pool_depth": 64, "program_depth": 512, "cores": 2,
        "weight_code": TritCode.TRIT5, "activation_skip": False,
    }  # fmt: skip
    build_only = {
        "name": "another", "read_latency": 2, "output_queue": 2,
        "weights_in": Primitive.SPRAM, "activation_masks_in": Primitive.BITS, "masks_in": Primitive.LUT,
        "parameters_in": Primitive.LUT, "pool_in": Primitive.LUT, "activations_in": Primitive.SPRAM,
    }  # fmt: skip
    assert {field.name for field in dataclasses.fields(Configuration)} == {*build_only, *other}
    assert set(build_only) == set(BUILD_ONLY)
    digests = {dataclasses.replace(base, **{name: value}).digest for name, value in other.items()} | {base.digest}
    assert len(digests) == len(other) + 1
    plain = dataclasses.replace(BASE, activation_skip=False)  # which all primitives allow
    for name, value in build_only.items():
        assert dataclasses.replace(plain, **{name: value}).digest == plain.digest
    assert len(BASE.digest) == 8
