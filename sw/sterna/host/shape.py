"""The sizes of a transformer over bytes, and the linear layers that follow from them."""

from dataclasses import dataclass

from sterna.spec.errors import ConfigurationError
from sterna.spec.network import MAX_EXTENT, MAX_LAYERS
from sterna.spec.values import is_whole

BYTES = 256
"""Different tokens."""
INPUT = "input"
"""The tensor that linear layers read, but for those that read another's output."""


@dataclass(frozen=True, kw_only=True)
class LinearLayer:
    """A matrix product without a bias: one layer of the integer network."""

    name: str
    source: str
    """``INPUT``, or the layer whose integers it takes as they are."""
    inputs: int
    outputs: int
    relu: bool = False


@dataclass(frozen=True, kw_only=True)
class TransformerShape:
    """Decoder blocks of the GPT kind (Radford et al. 2019): causal attention, then two dense layers around a ReLU.

    Raises :class:`ConfigurationError` naming the bad value.
    """

    width: int
    """Values that stand for a byte on its way through the blocks."""
    heads: int
    """Of the attention; divide ``width``."""
    blocks: int
    context: int
    """Most bytes that are looked at, the last one included."""
    expansion: int = 4
    """Width between the dense layers of a block, in widths."""

    def __post_init__(self) -> None:
        for name in ("width", "heads", "blocks", "context", "expansion"):
            if not is_whole(getattr(self, name)):
                raise ConfigurationError(f"{name} is {getattr(self, name)!r}; allowed: whole numbers")
        most_blocks = (MAX_LAYERS - 1) // 4
        checks = {
            "width": (1 <= self.width <= MAX_EXTENT // 3, f"1…{MAX_EXTENT // 3}"),
            "heads": (self.heads >= 1 and self.width % self.heads == 0, f"a divisor of the width {self.width}"),
            "blocks": (1 <= self.blocks <= most_blocks, f"1…{most_blocks}"),
            "context": (2 <= self.context <= MAX_EXTENT, f"2…{MAX_EXTENT}"),
            "expansion": (
                self.expansion >= 1 and self.expansion * self.width <= MAX_EXTENT,
                f"1 or more, at most {MAX_EXTENT} in all",
            ),
        }
        for name, (ok, allowed) in checks.items():
            if not ok:
                raise ConfigurationError(f"{name} is {getattr(self, name)!r}; allowed: {allowed}")

    @property
    def linears(self) -> tuple[LinearLayer, ...]:
        """In the order in which they run."""
        width, hidden = self.width, self.expansion * self.width
        found = []
        for block in range(self.blocks):
            found += [
                LinearLayer(name=f"qkv{block}", source=INPUT, inputs=width, outputs=3 * width),
                LinearLayer(name=f"out{block}", source=INPUT, inputs=width, outputs=width),
                LinearLayer(name=f"up{block}", source=INPUT, inputs=width, outputs=hidden, relu=True),
                LinearLayer(name=f"down{block}", source=f"up{block}", inputs=hidden, outputs=width),
            ]
        return (*found, LinearLayer(name="head", source=INPUT, inputs=width, outputs=BYTES))

    @property
    def results(self) -> tuple[str, ...]:
        """Those linear layers whose outputs the host reads as real values: all but those that another one takes."""
        taken = {linear.source for linear in self.linears}
        return tuple(linear.name for linear in self.linears if linear.name not in taken)

    @property
    def weights(self) -> int:
        """Of the linear layers."""
        return sum(linear.inputs * linear.outputs for linear in self.linears)
