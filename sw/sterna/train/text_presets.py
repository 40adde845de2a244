"""Presets for text: a transformer over bytes at four sizes."""

from dataclasses import dataclass

from sterna.quant import LayerRecipe, Recipe
from sterna.spec.errors import ConfigurationError
from sterna.spec.values import is_count, is_number
from sterna.train.presets import Phase
from sterna.train.topologies import ByteTransformer

EPOCH = 100
"""Batches that count as an epoch: text has no end of its own."""


@dataclass(frozen=True, kw_only=True)
class TextPreset:
    """Everything that a training run on text depends on, but for its seed. Raises :class:`ConfigurationError` on bad
    values."""

    name: str
    text: str
    """Name for :func:`sterna.data.load_text`."""
    topology: ByteTransformer
    recipe: Recipe
    float_phase: Phase
    quantised_phase: Phase
    batch: int = 32
    snap_from: float = 1.0
    """As that of :class:`Preset`."""

    def __post_init__(self) -> None:
        if not is_count(self.batch):
            raise ConfigurationError(f"batch is {self.batch!r}; allowed: 1 or more")
        if not (is_number(self.snap_from) and 0 < self.snap_from <= 1):
            raise ConfigurationError(f"snap_from is {self.snap_from!r}; allowed: above 0, at most 1")

    @property
    def float_part(self) -> tuple[object, ...]:
        """All that the float models depend on, but for their seed; the reference learns as long as the quantised."""
        return self.text, self.topology, self.float_phase, self.quantised_phase, self.batch

    @property
    def parameters(self) -> int:
        """All that is trained: linear layers, embedding, positions and gains."""
        shape = self.topology
        return shape.weights + (256 + shape.context + 2 * shape.blocks + 1) * shape.width


TEXT_PRESETS = {
    preset.name: preset
    for preset in (
        TextPreset(
            name=f"text-bytelm-{size}", text="tinyshakespeare",
            topology=ByteTransformer(width=width, heads=4, blocks=blocks, context=64),
            recipe=Recipe(layers=LayerRecipe(estimator="ewgs")),
            float_phase=Phase(epochs=10, learning_rate=3e-3, weight_decay=0.01),
            quantised_phase=Phase(epochs=10, learning_rate=3e-3),
        )
        for size, width, blocks in (("30k", 32, 1), ("100k", 72, 1), ("300k", 100, 2), ("1m", 160, 3))
    )
}  # fmt: skip
