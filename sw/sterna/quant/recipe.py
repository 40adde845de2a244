"""A recipe says how a model becomes ternary: declarative, so that presets, files and command lines can hold it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from fnmatch import fnmatchcase

from sterna.quant.estimator import ESTIMATORS
from sterna.quant.quantisers import ACTIVATION_QUANTISERS, WEIGHT_QUANTISERS
from sterna.spec.errors import ConfigurationError
from sterna.spec.values import is_count, is_number, is_whole


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
        for name, known in (
            ("weights", WEIGHT_QUANTISERS), ("activation", ACTIVATION_QUANTISERS), ("estimator", ESTIMATORS),
        ):  # fmt: skip
            value = getattr(self, name)
            named = isinstance(value, str) and value in known
            _require(named, f"{name} is {value!r}; allowed: {', '.join(sorted(known))}")
        bits = is_whole(self.act_bits) and 2 <= self.act_bits <= 8
        _require(bits, f"act_bits is {self.act_bits!r}; allowed: 2…8")
        ternary = self.activation != "gxnor" or self.act_bits == 2
        _require(ternary, f"act_bits is {self.act_bits!r}; allowed with activation 'gxnor': 2")
        share = is_number(self.density) and 0 < self.density <= 1
        _require(share, f"density is {self.density!r}; allowed: above 0, at most 1")


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
        _require(is_count(self.pe), f"pe is {self.pe!r}; allowed: 1 or more")
        _require(is_count(self.simd), f"simd is {self.simd!r}; allowed: 1 or more")
        for name, optional in (("layers", False), ("first", True), ("last", True)):
            value = getattr(self, name)
            right = isinstance(value, LayerRecipe) or (optional and value is None)
            _require(right, f"{name} is {value!r}; allowed: a LayerRecipe{' or None' if optional else ''}")
        pairs = isinstance(self.named, tuple) and all(map(_is_named, self.named))
        _require(pairs, f"named is {self.named!r}; allowed: a tuple of pairs, each a pattern and a LayerRecipe")
        pairs = isinstance(self.changed, tuple) and all(map(_is_changed, self.changed))
        allowed = "a tuple of pairs, each a pattern and a tuple of fields of a LayerRecipe with their values"
        _require(pairs, f"changed is {self.changed!r}; allowed: {allowed}")

    def check_names(self, layers: Mapping[str, Iterable[str]]) -> None:
        """Raises :class:`ConfigurationError` for a pattern that fits none of a model's layers.

        ``layers``: names, and of each the paths of its modules in the float model.
        """
        known = {name: [path for path in paths if path] for name, paths in layers.items()}
        everything = [each for name, paths in known.items() for each in (name, *paths)]
        listed = ", ".join(f"{name} ({', '.join(paths)})" if paths else name for name, paths in known.items())
        for pattern, _ in (*self.named, *self.changed):
            fits = any(fnmatchcase(each, pattern) for each in everything)
            _require(fits, f"the recipe names a layer {pattern!r}, which the model does not have; it has: {listed}")

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


def _is_named(pair: object) -> bool:
    """Whether it is an entry of :attr:`Recipe.named`."""
    match pair:
        case (str(), LayerRecipe()):
            return True
    return False


def _is_changed(pair: object) -> bool:
    """Whether it is an entry of :attr:`Recipe.changed`."""
    known = {field.name for field in fields(LayerRecipe)}
    match pair:
        case (str(), tuple(values)):
            return all(isinstance(each, tuple) and len(each) == 2 and each[0] in known for each in values)
    return False
