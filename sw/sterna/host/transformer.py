"""A transformer over bytes: embedding, norms, attention and sampling in float64, linear layers wherever they run.

A linear layer works on integers of 8 bits. What it reads is scaled, token by token, so that its largest magnitude is
``LEVEL``; without a bias a layer is linear, with a ReLU it still scales with its input, so the scale is multiplied back
in afterwards (as in BitNet: Wang et al. 2023). Root-mean-square norms: Zhang and Sennrich 2019.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sterna.host.shape import BYTES, INPUT, TransformerShape
from sterna.spec.arithmetic import max_activation
from sterna.spec.errors import InputError, ModelError
from sterna.spec.model_file import network_digest
from sterna.spec.network import IntegerNetwork

Float64 = npt.NDArray[np.float64]
Linear = Callable[[str, npt.NDArray[np.int32]], npt.NDArray[np.int32]]
"""Integers (n, inputs) through the linear layer of that name: ``device.linear``, or ``network.linear`` of golden."""

LEVEL = max_activation(8)
"""Integer of the largest magnitude of a token."""
SMALLEST = 1e-30
"""What a token's largest magnitude is taken for if it is less."""
EPSILON = 1e-6
"""Keeps norms of zeros finite."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Past:
    """What attention remembers of the bytes before: in each block, (n, heads, bytes, width / heads)."""

    keys: tuple[Float64, ...]
    values: tuple[Float64, ...]

    @property
    def length(self) -> int:
        length: int = self.keys[0].shape[2]
        return length


@dataclass(frozen=True, kw_only=True, eq=False)
class Transformer:
    """The part that the host computes. Raises :class:`ModelError` for arrays of other shapes or that are not finite."""

    shape: TransformerShape
    embedding: npt.NDArray[np.float32]
    """(256, width)."""
    positions: npt.NDArray[np.float32]
    """(context, width)."""
    gains: npt.NDArray[np.float32]
    """(2 · blocks + 1, width): of the norms before qkv and before up of each block, and before the head."""
    steps: Float64
    """Real value of one step of each of ``shape.results``, for tokens whose largest magnitude is ``LEVEL``."""
    network: str
    """``sha256`` of the model file of the linear layers that go with it."""

    def __post_init__(self) -> None:
        for name, shape in array_shapes(self.shape).items():
            array = getattr(self, name)
            if array.shape != shape:
                raise ModelError(f"{name} of the transformer has shape {array.shape}; expected {shape}")
            if not np.isfinite(array).all():
                raise ModelError(f"{name} of the transformer must be finite")

    def check(self, network: IntegerNetwork) -> None:
        """Raises :class:`ModelError` if the network does not hold this transformer's linear layers."""
        found = network_digest(network)
        if found != self.network:
            raise ModelError(
                f"network {network.name!r} is {found[:16]}…, but the transformer goes with {self.network[:16]}…"
            )
        for linear in self.shape.linears:
            alone = network.layer(linear.name)
            wanted = (linear.source, (1, 1, linear.inputs), (1, 1, linear.outputs))
            given = (alone.input.name, alone.input.shape, alone.shape(linear.name))
            if given != wanted or (linear.source == INPUT and alone.input.levels != (-LEVEL, LEVEL)):
                raise ModelError(f"layer {linear.name!r} is not the transformer's: {given}, expected {wanted}")

    def logits(self, text: npt.ArrayLike, linear: Linear) -> Float64:
        """Logits of each next byte.

        ``text``: uint8 (n, t), at most ``context`` bytes. Returns float64 (n, t, 256). All tokens of all texts go
        through a linear layer in one call. Raises :class:`InputError` for another shape or dtype, and what ``linear``
        raises.
        """
        tokens = np.asarray(text)
        if tokens.dtype != np.uint8 or tokens.ndim != 2 or not 1 <= tokens.shape[1] <= self.shape.context:
            raise InputError(
                f"text is {tokens.dtype} {tokens.shape}; expected uint8 (n, t) of 1…{self.shape.context} bytes"
            )
        return self._run(tokens, self._nothing(len(tokens)), linear)[0]

    def generate(self, prompt: bytes, count: int, linear: Linear, *, temperature: float = 0.0, seed: int = 0) -> bytes:
        """``count`` bytes that follow the prompt.

        At ``temperature`` 0 the likeliest byte each time; above, bytes are drawn, by the logits divided by it. A byte
        costs one call of each linear layer; when the context is full, its later half is read again. Raises
        :class:`InputError` for an empty prompt, a negative count or temperature, and what ``linear`` raises.
        """
        if not prompt or count < 0 or not 0 <= temperature < np.inf:
            raise InputError(
                f"prompt of {len(prompt)} bytes, count {count}, temperature {temperature:g}; "
                "allowed: a byte or more, 0 or more, 0 or more"
            )
        rng = np.random.default_rng(seed)
        context = self.shape.context
        text = bytearray(prompt)
        past, unread = self._nothing(1), text[-context:]
        for _ in range(count):
            logits, past = self._run(np.frombuffer(bytes(unread), np.uint8)[np.newaxis], past, linear)
            text.append(_choose(logits[0, -1], temperature, rng))
            unread = text[-1:]
            if past.length == context:
                past, unread = self._nothing(1), text[-(context // 2) :]
        return bytes(text[len(prompt) :])

    def _nothing(self, count: int) -> _Past:
        heads = self.shape.heads
        empty = (np.zeros((count, heads, 0, self.shape.width // heads)),) * self.shape.blocks
        return _Past(keys=empty, values=empty)

    def _run(self, tokens: npt.NDArray[np.uint8], past: _Past, linear: Linear) -> tuple[Float64, _Past]:
        """Logits of the bytes after those of the past, and the past with them."""
        count, length = tokens.shape
        first = past.length
        x = self.embedding[tokens].astype(np.float64) + self.positions[first : first + length]
        keys, values = [], []
        for block in range(self.shape.blocks):
            qkv = self._linear(_norm(x, self.gains[2 * block]), linear, f"qkv{block}")
            query, key, value = qkv.reshape(count, length, 3, self.shape.heads, -1).transpose(2, 0, 3, 1, 4)
            keys.append(np.concatenate([past.keys[block], key], axis=2))
            values.append(np.concatenate([past.values[block], value], axis=2))
            seen = _attention(query, keys[-1], values[-1]).transpose(0, 2, 1, 3).reshape(x.shape)
            x = x + self._linear(seen, linear, f"out{block}")
            x = x + self._linear(_norm(x, self.gains[2 * block + 1]), linear, f"up{block}", f"down{block}")
        logits = self._linear(_norm(x, self.gains[-1]), linear, "head")
        return logits, _Past(keys=tuple(keys), values=tuple(values))

    def _linear(self, x: Float64, linear: Linear, *names: str) -> Float64:
        """Linear layers, one after the other: (n, t, inputs) of the first to (n, t, outputs) of the last."""
        rows = x.reshape(-1, x.shape[2])
        scale = np.maximum(np.abs(rows).max(axis=1, keepdims=True), SMALLEST) / LEVEL
        integers = np.floor(rows / scale + 0.5).astype(np.int32)
        for name in names:
            integers = linear(name, integers)
        step = self.steps[self.shape.results.index(names[-1])]
        real: Float64 = integers * (step * scale)
        return real.reshape(*x.shape[:2], -1)


def array_shapes(shape: TransformerShape) -> dict[str, tuple[int, ...]]:
    """Shapes of the arrays of a :class:`Transformer`, by name."""
    return {
        "embedding": (BYTES, shape.width),
        "positions": (shape.context, shape.width),
        "gains": (2 * shape.blocks + 1, shape.width),
        "steps": (len(shape.results),),
    }


def _norm(x: Float64, gain: npt.NDArray[np.float32]) -> Float64:
    root: Float64 = np.sqrt((x * x).mean(axis=-1, keepdims=True) + EPSILON)
    return x / root * gain


def _attention(query: Float64, keys: Float64, values: Float64) -> Float64:
    """Causal: (n, heads, t, d), the last t of the keys' bytes asking."""
    length, known = query.shape[2], keys.shape[2]
    scores = query @ keys.swapaxes(2, 3) / np.sqrt(query.shape[3])
    scores = np.where(np.tri(length, known, known - length, dtype=bool), scores, -np.inf)
    return _softmax(scores) @ values


def _softmax(x: Float64) -> Float64:
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    shares: Float64 = powers / powers.sum(axis=-1, keepdims=True)
    return shares


def _choose(logits: Float64, temperature: float, rng: np.random.Generator) -> int:
    if temperature == 0:
        return int(logits.argmax())
    return int(rng.choice(BYTES, p=_softmax(logits / temperature)))
