"""Transformer over bytes, of the GPT kind (Radford et al. 2019), whose linear layers can be those of a device."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from sterna.host import LinearLayer, TransformerShape
from sterna.host.shape import BYTES
from sterna.host.transformer import EPSILON

_SPREAD = 0.5
"""Of embeddings before training: beside it, what a fresh block adds is small."""


class TransformerModule(nn.Module):
    """Embedding, norms and attention, which stay real; :meth:`linear` is the subclasses'.

    Takes uint8 or int64 (n, t), bytes, t at most the context, and returns logits of each next byte, float (n, t, 256).
    """

    def __init__(self, shape: TransformerShape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Parameter(_SPREAD * torch.randn(BYTES, shape.width))
        self.positions = nn.Parameter(_SPREAD * torch.randn(shape.context, shape.width))
        self.gains = nn.Parameter(torch.ones(2 * shape.blocks + 1, shape.width))

    def linear(self, x: Tensor, *names: str) -> Tensor:
        """Linear layers, one after the other: float (rows, inputs) of the first to (rows, outputs) of the last."""
        raise NotImplementedError

    def forward(self, text: Tensor) -> Tensor:
        count, length = text.shape
        heads = self.shape.heads
        x = (self.embedding[text.long()] + self.positions[:length]).flatten(0, 1)
        for block in range(self.shape.blocks):
            qkv = self.linear(self._norm(x, 2 * block), f"qkv{block}")
            query, key, value = qkv.reshape(count, length, 3, heads, -1).permute(2, 0, 3, 1, 4)
            seen = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
            x = x + self.linear(seen.transpose(1, 2).reshape(x.shape), f"out{block}")
            x = x + self.linear(self._norm(x, 2 * block + 1), f"up{block}", f"down{block}")
        return self.linear(self._norm(x, -1), "head").reshape(count, length, BYTES)

    def _norm(self, x: Tensor, index: int) -> Tensor:
        return functional.rms_norm(x, (self.shape.width,), self.gains[index], EPSILON)


class FloatTransformer(TransformerModule):
    """All of it in float."""

    def __init__(self, shape: TransformerShape) -> None:
        super().__init__(shape)
        self._layers: dict[str, LinearLayer] = {layer.name: layer for layer in shape.linears}
        self.linears = nn.ModuleDict(
            {layer.name: nn.Linear(layer.inputs, layer.outputs, bias=False) for layer in shape.linears}
        )

    def linear(self, x: Tensor, *names: str) -> Tensor:
        for name in names:
            x = self.linears[name](x)
            if self._layers[name].relu:
                x = torch.relu(x)
        return x


@dataclass(frozen=True, kw_only=True)
class ByteTransformer(TransformerShape):
    """A :class:`sterna.host.TransformerShape` to train."""

    def build(self) -> FloatTransformer:
        """A fresh module."""
        return FloatTransformer(self)
