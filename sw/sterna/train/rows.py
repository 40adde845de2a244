"""Rows: what is measured and what it should reach, as values. ``sterna bench train --row NAME`` runs one."""

from dataclasses import dataclass

from sterna.spec.errors import ConfigurationError
from sterna.train.overrides import P, Value, changed
from sterna.train.presets import Preset, preset_named
from sterna.train.text_presets import TEXT_PRESETS, TextPreset


@dataclass(frozen=True, kw_only=True)
class Reach:
    """What the median should reach; all that are given count."""

    least: float | None = None
    """The metric itself."""
    below_float: float | None = None
    """Most that it may lie below the median of the float twins."""
    below_row: tuple[str, float] | None = None
    """Most that it may lie below another row's median; 0: it should be better, which equal is not."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A preset with changes, and what it should reach."""

    name: str
    preset: str
    changes: tuple[tuple[str, Value], ...] = ()
    """Paths and values, see :mod:`sterna.train.overrides`."""
    reach: Reach = Reach()

    def changed_preset(self) -> Preset | TextPreset:
        """The preset with the row's changes."""
        if self.preset in TEXT_PRESETS:
            return _with(TEXT_PRESETS[self.preset], self.changes)
        return _with(preset_named(self.preset), self.changes)


def _with(preset: P, changes: tuple[tuple[str, Value], ...]) -> P:
    for path, value in changes:
        preset = changed(preset, path, value)
    return preset


def _dense(name: str, **reach: float) -> Row:
    return Row(name=name, preset=name, reach=Reach(**reach))  # type: ignore[arg-type]


def _blocks(preset: str, density: float, loss: float) -> Row:
    """The hidden layers at a density of weight blocks."""
    return Row(
        name=f"{preset}-{round(100 * density)}", preset=preset,
        changes=(("recipe.layers.density", density), ("recipe.first.density", 1.0), ("recipe.last.density", 1.0)),
        reach=Reach(below_row=(preset, loss)),
    )  # fmt: skip


def _weights(preset: str, weights: str) -> Row:
    """Another weight quantiser in all layers but a first and last of their own; better than TWN is hoped for.

    TTQ's gradients are its own: no estimator on top of them.
    """
    changes: tuple[tuple[str, Value], ...] = (("recipe.layers.weights", weights),)
    if weights == "ttq":
        changes += (("recipe.layers.estimator", "plain"),)
    return Row(
        name=f"{preset}-{weights}", preset=preset, changes=changes,
        reach=Reach(below_row=(preset, 0.0)),
    )  # fmt: skip


_FAMILIES = ("ttq", "power-of-three", "binary", "digits5")
_CIFAR_5K = ("dataset", "cifar10_5k")

ROWS = {
    row.name: row
    for row in (
        Row(name="digits-mlp", preset="digits-mlp", reach=Reach(least=0.97)),
        _dense("mnist-tfc", least=0.972),
        _dense("mnist-sfc", least=0.987),
        _dense("mnist-cnn", least=0.992),
        _dense("fashion-cnn", least=0.905, below_float=0.010),
        _dense("cifar-resnet8"),
        _dense("speech-dscnn", below_float=0.015),
        _dense("skab-autoencoder", below_float=0.01),
        _blocks("mnist-cnn", 0.5, 0.005),
        _blocks("mnist-cnn", 0.25, 0.015),
        _blocks("fashion-cnn", 0.5, 0.005),
        _blocks("fashion-cnn", 0.25, 0.015),
        _blocks("speech-dscnn", 0.5, 0.005),
        _blocks("speech-dscnn", 0.25, 0.015),
        _weights("cifar-resnet8", "ttq"),
        _weights("cifar-resnet8", "power-of-three"),
        Row(name="cifar5k-resnet8", preset="cifar-resnet8", changes=(_CIFAR_5K,)),
        Row(
            name="cifar5k-resnet8-ttq", preset="cifar-resnet8", changes=(_CIFAR_5K, ("recipe.layers.weights", "ttq")),
            reach=Reach(below_row=("cifar5k-resnet8", 0.0)),
        ),
        Row(
            name="cifar5k-resnet8-power-of-three", preset="cifar-resnet8",
            changes=(_CIFAR_5K, ("recipe.layers.weights", "power-of-three")),
            reach=Reach(below_row=("cifar5k-resnet8", 0.0)),
        ),
        *(_weights("digits-mlp", weights) for weights in _FAMILIES),
        *(Row(name=name, preset=name) for name in TEXT_PRESETS),
        *(_weights(name, weights) for name in TEXT_PRESETS for weights in _FAMILIES),
        *(_weights("skab-autoencoder", weights) for weights in _FAMILIES),
    )
}  # fmt: skip


def row_named(name: str) -> Row:
    """The row of that name. Raises :class:`ConfigurationError` with the known names."""
    if name not in ROWS:
        raise ConfigurationError(f"no row {name!r}; known: {', '.join(sorted(ROWS))}")
    return ROWS[name]
