"""The register map."""

from sterna.spec.registers import MAGIC, REGISTER_COUNT, Register, State


def test_registers_are_numbered_without_gaps_and_reached_by_one_read():
    assert sorted(Register) == list(range(REGISTER_COUNT))
    assert REGISTER_COUNT * 4 <= 638


def test_magic_reads_as_ascii():
    assert MAGIC.to_bytes(4, "little") == b"STRN"


def test_state_bits_are_single_bits():
    assert [bit.bit_count() for bit in State] == [1] * len(State)
