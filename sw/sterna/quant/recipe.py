"""A recipe says how a model becomes ternary: declarative, so that presets, files and command lines can hold it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from sterna.quant.estimator import ESTIMATORS
from sterna.quant.quantisers import ACTIVATION_QUANTISERS, WEIGHT_QUANTISERS
from sterna.spec.errors import ConfigurationError


def _require(ok: bool, message: str) -> None:
    if not ok:
        raise ConfigurationError(message)


@dataclass(frozen=True, kw_only=True)
class LayerRecipe:
    """How one layer is quantised. Raises :class:`ConfigurationError` naming the bad value."""

    weights: str = "twn"
    """Key of ``WEIGHT_QUANTISERS``."""
    act_bits: int = 8
    """Signed bits of its outputs, 2…8; after a ReLU only the positive half is used."""
    activation: str = "lsq"
    """Key of ``ACTIVATION_QUANTISERS``."""
    estimator: str = "plain"
    """Key of ``ESTIMATORS``: how a weight learns from the gradient of its quantised value."""
    density: float = 1.0
    """Share of weight blocks kept, above 0, at most 1."""

    def __post_init__(self) -> None:
        known = ", ".join(sorted(WEIGHT_QUANTISERS))
        _require(self.weights in WEIGHT_QUANTISERS, f"weights is {self.weights!r}; allowed: {known}")
        _require(2 <= self.act_bits <= 8, f"act_bits is {self.act_bits!r}; allowed: 2…8")
        known = ", ".join(sorted(ACTIVATION_QUANTISERS))
        _require(self.activation in ACTIVATION_QUANTISERS, f"activation is {self.activation!r}; allowed: {known}")
        ternary = self.activation != "gxnor" or self.act_bits == 2
        _require(ternary, f"act_bits is {self.act_bits!r}; allowed with activation 'gxnor': 2")
        known = ", ".join(sorted(ESTIMATORS))
        _require(self.estimator in ESTIMATORS, f"estimator is {self.estimator!r}; allowed: {known}")
        _require(0 < self.density <= 1, f"density is {self.density!r}; allowed: above 0, at most 1")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a model is quantised: every layer as ``layers``, but for the first and the last where these are given, and
    before all, those that a pattern names; then with what is ``changed``.

    Raises :class:`ConfigurationError` naming the bad value.
    """

    layers: LayerRecipe = LayerRecipe()
    first: LayerRecipe | None = None
    """Of the first layer that has weights."""
    last: LayerRecipe | None = None
    """Of the last layer that has weights."""
    named: tuple[tuple[str, LayerRecipe], ...] = ()
    """Shell patterns and recipes; the first that fits a layer's name in the integer network (``conv3``), or the path of
    one of its modules in the float model (``blocks.1.*``), counts."""
    changed: tuple[tuple[str, tuple[tuple[str, str | int | float], ...]], ...] = ()
    """Patterns as in ``named`` and fields of :class:`LayerRecipe` that layers have otherwise; the last one counts."""
    pe: int = 8
    """Lanes of the hardware to prune for."""
    simd: int = 4
    """Feeders of the hardware to prune for."""

    def __post_init__(self) -> None:
        _require(self.pe >= 1, f"pe is {self.pe!r}; allowed: 1 or more")
        _require(self.simd >= 1, f"simd is {self.simd!r}; allowed: 1 or more")

    def of_layer(self, index: int | None, count: int, names: Iterable[str] = ()) -> LayerRecipe:
        """Recipe of a layer.

        ``index``: which of the ``count`` layers that have weights; None for one without. Of a single layer the last
        one's counts. ``names``: its name and paths.
        """
        known = list(names)
        recipe = self._whole(index, count, known)
        for pattern, values in self.changed:
            if any(fnmatchcase(name, pattern) for name in known):
                recipe = replace(recipe, **dict(values))  # type: ignore[arg-type]
        return recipe

    def _whole(self, index: int | None, count: int, known: list[str]) -> LayerRecipe:
        for pattern, recipe in self.named:
            if any(fnmatchcase(name, pattern) for name in known):
                return recipe
        if index == count - 1 and self.last is not None:
            return self.last
        if index == 0 and self.first is not None:
            return self.first
        return self.layers
