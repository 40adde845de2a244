"""Presets: task, topology and recipe as plain values, not code."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

from sterna.quant import LayerRecipe, Recipe
from sterna.spec.errors import ConfigurationError
from sterna.spec.values import is_count, is_number, is_whole
from sterna.train.augment import Augmentation
from sterna.train.topologies import Autoencoder, Cnn, DsCnn, Mlp, ResNet8, Topology


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One training phase: Adam with a warm-up and a cosine from ``learning_rate`` to 0.

    Raises :class:`ConfigurationError` naming the bad value.
    """

    epochs: int
    learning_rate: float
    weight_decay: float = 0.0
    """Decoupled (AdamW), on matrices only."""

    def __post_init__(self) -> None:
        checks = {
            "epochs": (is_count(self.epochs), "1 or more"),
            "learning_rate": (is_number(self.learning_rate) and self.learning_rate > 0, "above 0"),
            "weight_decay": (is_number(self.weight_decay) and self.weight_decay >= 0, "0 or more"),
        }
        for name, (ok, allowed) in checks.items():
            if not ok:
                raise ConfigurationError(f"{name} of a phase is {getattr(self, name)!r}; allowed: {allowed}")


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Everything that a training run depends on, but for its seed. Raises :class:`ConfigurationError` on bad values."""

    name: str
    dataset: str
    topology: Topology
    recipe: Recipe
    float_phase: Phase
    quantised_phase: Phase
    batch: int = 64
    augmentation: Augmentation = field(default_factory=Augmentation)
    distillation: float = 0.0
    """Weight of the float model's softened answers in the quantised phase's loss (Hinton 2015), 0…1."""
    temperature: float = 4.0
    """Softening of both answers in distillation."""
    prune_until: float = 0.5
    """Share of the quantised phase after which density has reached its target and blocks are fixed."""

    harden_until: float = 0.0
    """Share of the quantised phase over which weights move from their float values to the quantised ones; 0: they are
    quantised at once."""
    snap_from: float = 1.0
    """Share of the quantised phase after which training sees what hardware does, bit for bit: see
    :meth:`sterna.quant.QuantisedModel.snap`."""

    @property
    def float_part(self) -> tuple[object, ...]:
        """All that the float model depends on, but for its seed."""
        return self.dataset, self.topology, self.float_phase, self.batch, self.augmentation

    def with_layers(self, layers: Mapping[str, Mapping[str, str | int | float]]) -> "Preset":
        """The preset with layers of the integer network changed, by name: fields of :class:`LayerRecipe` and their
        values, such as a sensitivity pass or a budget of cycles gives; what is not given stays as it is.
        Raises :class:`ConfigurationError`.
        """
        known = {field.name for field in dataclasses.fields(LayerRecipe)}
        changed = []
        for name, values in layers.items():
            if not values.keys() <= known:
                wrong = ", ".join(sorted(values.keys() - known))
                raise ConfigurationError(f"layer {name!r} has {wrong}; allowed: {', '.join(sorted(known))}")
            dataclasses.replace(self.recipe.layers, **values)  # type: ignore[arg-type] # raises on bad values
            changed.append((name, tuple(values.items())))
        recipe = dataclasses.replace(self.recipe, changed=(*self.recipe.changed, *changed))
        return dataclasses.replace(self, recipe=recipe)

    def __post_init__(self) -> None:
        def check(name: str, ok: bool, allowed: str) -> None:
            if not ok:
                raise ConfigurationError(f"{name} is {getattr(self, name)!r}; allowed: {allowed}")

        check("batch", is_whole(self.batch) and self.batch >= 2, "2 or more: BatchNorm needs two")
        check("distillation", is_number(self.distillation) and 0 <= self.distillation <= 1, "0…1")
        check("temperature", is_number(self.temperature) and self.temperature > 0, "above 0")
        check("prune_until", is_number(self.prune_until) and 0 < self.prune_until <= 1, "above 0, at most 1")
        check("harden_until", is_number(self.harden_until) and 0 <= self.harden_until < 1, "0 or more, below 1")
        check("snap_from", is_number(self.snap_from) and 0 < self.snap_from <= 1, "above 0, at most 1")


PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            name="digits-mlp",
            dataset="digits",
            topology=Mlp(hidden=(256, 240)),  # with 10 classes in tiles of 8: the 512 parameter words of icebreaker
            # An output costs 8 cycles at least: on the first layer's 16 positions a bank, fewer blocks would save none.
            recipe=Recipe(
                first=LayerRecipe(density=0.5),
                layers=LayerRecipe(density=0.25),
                last=LayerRecipe(density=0.5),
                pe=8,
                simd=4,
            ),
            float_phase=Phase(epochs=50, learning_rate=3e-3, weight_decay=0.05),
            quantised_phase=Phase(epochs=100, learning_rate=3e-3),
            batch=64,
            augmentation=Augmentation(rotation=8, zoom=0.1, shift=0.5, noise=0.125),
            prune_until=0.75,
        ),
        Preset(
            name="mnist-tfc",  # the topology of Brevitas' TFC, ternary weights and activations
            dataset="mnist",
            topology=Mlp(hidden=(64, 64, 64), activation="hardtanh"),
            recipe=Recipe(layers=LayerRecipe(act_bits=2), last=LayerRecipe()),
            float_phase=Phase(epochs=10, learning_rate=3e-3),
            quantised_phase=Phase(epochs=40, learning_rate=3e-3),
            batch=200,
            augmentation=Augmentation(rotation=5, zoom=0.05, shift=0.5),
            distillation=0.5,
        ),
        Preset(
            name="mnist-sfc",  # Brevitas' SFC
            dataset="mnist",
            topology=Mlp(hidden=(256, 256, 256), activation="hardtanh"),
            recipe=Recipe(layers=LayerRecipe(act_bits=2), last=LayerRecipe()),
            float_phase=Phase(epochs=15, learning_rate=3e-3),
            quantised_phase=Phase(epochs=40, learning_rate=3e-3),
            batch=200,
            augmentation=Augmentation(rotation=8, zoom=0.1, shift=1),
            distillation=0.5,
        ),
        Preset(
            name="mnist-cnn",  # 28,368 weights
            dataset="mnist",
            topology=Cnn(stages=((16, 16), (32, 32), (32,))),
            recipe=Recipe(),
            float_phase=Phase(epochs=10, learning_rate=3e-3),
            quantised_phase=Phase(epochs=20, learning_rate=3e-3),
            batch=100,
            augmentation=Augmentation(rotation=8, zoom=0.1, shift=1),
            distillation=0.5,
        ),
        Preset(
            name="fashion-cnn",
            dataset="fashion_mnist",
            topology=Cnn(stages=((32, 32), (64, 64), (64,))),
            recipe=Recipe(),
            float_phase=Phase(epochs=6, learning_rate=3e-3),
            quantised_phase=Phase(epochs=10, learning_rate=3e-3),
            batch=100,
            augmentation=Augmentation(shift=1, flip=True),
            distillation=0.5,
        ),
        Preset(
            name="cifar-resnet8",
            dataset="cifar10",
            topology=ResNet8(),
            recipe=Recipe(),
            float_phase=Phase(epochs=30, learning_rate=3e-3, weight_decay=0.05),
            quantised_phase=Phase(epochs=30, learning_rate=3e-3),
            batch=64,
            augmentation=Augmentation(shift=3, flip=True),
        ),
        Preset(
            name="speech-dscnn",  # 6,848 weights
            dataset="fsdd",
            topology=DsCnn(channels=32, blocks=4),
            recipe=Recipe(),
            float_phase=Phase(epochs=30, learning_rate=3e-3, weight_decay=0.05),
            quantised_phase=Phase(epochs=90, learning_rate=3e-3),
            batch=50,
            augmentation=Augmentation(zoom=0.1, shift=3),
            distillation=0.5,
        ),
        Preset(
            name="skab-autoencoder",
            dataset="skab",
            topology=Autoencoder(hidden=(64, 32), code=8),
            recipe=Recipe(),
            # Longer, and the float model reproduces anomalies too: chosen on skab_valve2, which skab leaves out. At a
            # rate of 3e-3 the quantised model collapses: its loss ends at the variance of the data.
            float_phase=Phase(epochs=10, learning_rate=3e-3),
            quantised_phase=Phase(epochs=10, learning_rate=1e-3),
            batch=64,
        ),
    )
}


def preset_named(name: str) -> Preset:
    """The preset of that name. Raises :class:`ConfigurationError` with the known names."""
    from sterna.train.text_presets import TEXT_PRESETS  # which is made of this file's phases

    known = ", ".join(sorted(PRESETS))
    if name in TEXT_PRESETS:
        raise ConfigurationError(f"preset {name!r} is one for text; those for images: {known}")
    if name not in PRESETS:
        raise ConfigurationError(f"no preset {name!r}; known: {known}; for text: {', '.join(TEXT_PRESETS)}")
    return PRESETS[name]
