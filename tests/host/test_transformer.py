"""The host's part of a transformer: its sizes, its arithmetic, its checks."""

import dataclasses
import re

import numpy as np
import pytest

from host.models import SHAPE, random_linears, random_transformer
from sterna.host import TransformerShape
from sterna.spec.errors import ConfigurationError, InputError, ModelError

NETWORK = random_linears(SHAPE)
MODEL = random_transformer(NETWORK)


def text(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_linear_layers_follow_from_the_shape() -> None:
    assert [(layer.name, layer.source, layer.inputs, layer.outputs, layer.relu) for layer in SHAPE.linears] == [
        ("qkv0", "input", 8, 24, False), ("out0", "input", 8, 8, False),
        ("up0", "input", 8, 24, True), ("down0", "up0", 24, 8, False),
        ("qkv1", "input", 8, 24, False), ("out1", "input", 8, 8, False),
        ("up1", "input", 8, 24, True), ("down1", "up1", 24, 8, False),
        ("head", "input", 8, 256, False),
    ]  # fmt: skip
    assert SHAPE.results == ("qkv0", "out0", "down0", "qkv1", "out1", "down1", "head")
    assert SHAPE.weights == NETWORK.weights == sum(layer.inputs * layer.outputs for layer in SHAPE.linears)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"width": 0}, "width is 0; allowed: 1…21845"),
        ({"heads": 3}, "heads is 3; allowed: a divisor of the width 8"),
        ({"heads": 0}, "heads is 0; allowed: a divisor of the width 8"),
        ({"blocks": 0}, "blocks is 0; allowed: 1…255"),
        ({"context": 1}, "context is 1; allowed: 2…65536"),
        ({"expansion": 8193}, "expansion is 8193; allowed: 1 or more, at most 65536 in all"),
    ],
)
def test_a_shape_names_its_bad_value(changed: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$"):
        dataclasses.replace(SHAPE, **changed)


def test_logits_are_those_of_a_plain_loop_over_tokens() -> None:
    """Each token by itself, attention head by head, in another order of the same arithmetic."""
    tokens = text(1, 6)

    def apply(x: np.ndarray, *names: str) -> np.ndarray:
        largest = np.abs(x).max() / 127
        integers = np.round(x / largest).astype(int)[np.newaxis]
        for name in names:
            integers = NETWORK.linear(name, integers)
        return integers[0] * largest * MODEL.steps[SHAPE.results.index(names[-1])]

    def norm(x: np.ndarray, index: int) -> np.ndarray:
        return x / np.sqrt(np.mean(x**2) + 1e-6) * MODEL.gains[index]

    rows = [MODEL.embedding[byte].astype(float) + MODEL.positions[at] for at, byte in enumerate(tokens[0])]
    for block in range(SHAPE.blocks):
        qkv = [apply(norm(row, 2 * block), f"qkv{block}") for row in rows]
        for at in range(len(rows)):
            heads = []
            for head in range(2):
                query, key, value = (slice(8 * part + 4 * head, 8 * part + 4 * head + 4) for part in range(3))
                weights = np.array([np.exp(qkv[at][query] @ qkv[j][key] / 2) for j in range(at + 1)])
                heads.append(sum(w * qkv[j][value] for j, w in enumerate(weights / weights.sum())))
            rows[at] = rows[at] + apply(np.concatenate(heads), f"out{block}")
            rows[at] = rows[at] + apply(norm(rows[at], 2 * block + 1), f"up{block}", f"down{block}")
    expected = [apply(norm(row, -1), "head") for row in rows]
    assert np.allclose(MODEL.logits(tokens, NETWORK.linear)[0], expected, rtol=0, atol=1e-9)
    assert np.std(expected) > 0.1


def test_every_call_takes_all_tokens_of_all_texts() -> None:
    calls = []

    def linear(name: str, x: np.ndarray) -> np.ndarray:
        calls.append((name, x.shape, x.dtype))
        return NETWORK.linear(name, x)

    assert MODEL.logits(text(3, 5), linear).shape == (3, 5, 256)
    assert calls == [(layer.name, (15, layer.inputs), np.int32) for layer in SHAPE.linears]


def test_a_byte_does_not_see_what_follows() -> None:
    one, other = text(1, 9), text(1, 9)
    other[0, 6:] += 1
    first, second = MODEL.logits(one, NETWORK.linear), MODEL.logits(other, NETWORK.linear)
    assert np.array_equal(first[:, :6], second[:, :6])
    assert not np.array_equal(first[:, 6:], second[:, 6:])


def test_zeros_give_zeros_and_nothing_is_divided_by_them() -> None:
    silent = dataclasses.replace(
        MODEL, embedding=np.zeros_like(MODEL.embedding), positions=np.zeros_like(MODEL.positions)
    )
    assert np.array_equal(silent.logits(text(1, 3), NETWORK.linear), np.zeros((1, 3, 256)))


def test_generation_takes_one_byte_a_call_and_reads_half_a_context_again_when_it_is_full() -> None:
    rows = []

    def linear(name: str, x: np.ndarray) -> np.ndarray:
        if name == "head":
            rows.append(len(x))
        return NETWORK.linear(name, x)

    found = MODEL.generate(bytes(range(9)), 12, linear)
    assert rows == [9, 1, 1, 1, 6, 1, 1, 1, 1, 1, 1, 6]
    assert len(found) == 12
    rows.clear()
    MODEL.generate(bytes(30), 2, linear)
    assert rows == [12, 6], "of a long prompt the last bytes count"


def test_the_likeliest_byte_is_generated_each_time() -> None:
    prompt = bytes(text(4))
    found = prompt + MODEL.generate(prompt, 8, NETWORK.linear)
    logits = MODEL.logits(np.frombuffer(found[:-1], np.uint8)[np.newaxis], NETWORK.linear)[0]
    assert bytes(logits.argmax(axis=1).astype(np.uint8))[3:] == found[4:]


def test_a_temperature_draws_bytes_from_a_seed() -> None:
    drawn = {MODEL.generate(b"a", 10, NETWORK.linear, temperature=2.0, seed=seed) for seed in (0, 0, 1, 2)}
    assert len(drawn) == 3
    (coldest,) = MODEL.generate(b"a", 1, NETWORK.linear, temperature=1e-6)
    logits = MODEL.logits([np.frombuffer(b"a", np.uint8)], NETWORK.linear)[0, 0]
    assert logits[coldest] == logits.max()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((1, 13), np.uint8), "text is uint8 (1, 13); expected uint8 (n, t) of 1…12 bytes"),
        (np.zeros((1, 0), np.uint8), "text is uint8 (1, 0); expected uint8 (n, t) of 1…12 bytes"),
        (np.zeros(3, np.uint8), "text is uint8 (3,); expected uint8 (n, t) of 1…12 bytes"),
        (np.zeros((1, 3), np.int64), "text is int64 (1, 3); expected uint8 (n, t) of 1…12 bytes"),
    ],
)
def test_text_of_another_shape_or_dtype_is_refused(given: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        MODEL.logits(given, NETWORK.linear)


@pytest.mark.parametrize(
    ("prompt", "count", "temperature", "told"),
    [
        (b"", 1, 0.0, "prompt of 0 bytes, count 1, temperature 0;"),
        (b"a", -1, 0.0, "prompt of 1 bytes, count -1, temperature 0;"),
        (b"a", 1, -0.5, "prompt of 1 bytes, count 1, temperature -0.5;"),
        (b"a", 1, float("nan"), "prompt of 1 bytes, count 1, temperature nan;"),
    ],
)
def test_generation_names_what_it_cannot_do(prompt: bytes, count: int, temperature: float, told: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(told)} allowed: a byte or more, 0 or more, 0 or more$"):
        MODEL.generate(prompt, count, NETWORK.linear, temperature=temperature)


def test_arrays_of_another_shape_or_not_finite_are_refused() -> None:
    with pytest.raises(ModelError, match=r"^gains of the transformer has shape \(4, 8\); expected \(5, 8\)$"):
        dataclasses.replace(MODEL, gains=MODEL.gains[:4])
    with pytest.raises(ModelError, match=r"^steps of the transformer must be finite$"):
        dataclasses.replace(MODEL, steps=MODEL.steps * np.inf)


def test_another_network_is_refused() -> None:
    MODEL.check(NETWORK)
    with pytest.raises(ModelError, match=r"^network 'random' is [0-9a-f]{16}…, but the transformer goes with"):
        MODEL.check(random_linears(SHAPE, seed=1))
    wider = random_linears(TransformerShape(width=16, heads=2, blocks=2, context=12, expansion=3))
    with pytest.raises(ModelError, match=r"^layer 'qkv0' is not the transformer's: \('input', \(1, 1, 16\)"):
        random_transformer(wider).check(wider)
