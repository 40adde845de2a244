"""Banked blocks and masks against the definition, position by position."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sterna.spec.configuration import CHUNK
from sterna.spec.layout import bank_rows, whole_chunks, words


@given(
    st.integers(1, 3), st.integers(1, 8), st.integers(1, 50), st.sampled_from([1, 2, 4, 8]), st.sampled_from([8, 12]),
    st.sampled_from([0.0, 0.05, 0.5]), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_each_bank_holds_the_non_zero_blocks_of_its_positions_in_order(count, outputs, run, simd, pe, density, seed):
    rng = np.random.default_rng(seed)
    rows = (rng.integers(-1, 2, (count, outputs, run)) * (rng.random((count, outputs, run)) < density)).astype(np.int8)
    banked = bank_rows(rows, simd, pe)
    chunks = -(-words(run, simd) // CHUNK)
    assert banked.masks.shape == (simd, count * chunks)
    assert banked.masks.dtype == np.uint8
    for bank in range(simd):
        expected, bits = [], []
        for row in rows:
            for position in range(chunks * CHUNK):
                k = position * simd + bank
                block = [int(row[o, k]) if o < outputs and k < run else 0 for o in range(pe)]
                bits.append(any(block))
                if any(block):
                    expected.append(block)
        assert banked.blocks[bank].shape == (len(expected), pe)
        assert banked.blocks[bank].tolist() == expected
        assert [bool(word >> bit & 1) for word in banked.masks[bank].tolist() for bit in range(CHUNK)] == bits


@given(st.integers(0, 1000), st.sampled_from([1, 2, 4, 32]))
def test_words_and_chunks_round_up(activations, simd):
    assert (words(activations, simd) - 1) * simd < activations <= words(activations, simd) * simd
    whole = whole_chunks(activations)
    assert whole % CHUNK == 0
    assert activations <= whole < activations + CHUNK
