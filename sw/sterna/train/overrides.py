"""Presets with some values changed, by their paths: ``recipe.layers.weights``, ``quantised_phase.epochs``."""

import dataclasses
import json
from typing import Any, TypeVar

from sterna.quant import LayerRecipe
from sterna.spec.errors import ConfigurationError
from sterna.spec.values import is_number
from sterna.train.presets import Preset
from sterna.train.text_presets import TextPreset

Value = str | int | float | tuple["Value", ...]
T = TypeVar("T")
P = TypeVar("P", Preset, TextPreset)


def changed(preset: P, path: str, value: Value) -> P:
    """The preset with one value changed.

    ``path``: names of fields, dots between them. Where a recipe has no own ``first`` or ``last``, one is made of its
    ``layers``. Raises :class:`ConfigurationError` naming the path that is not there, and what the preset refuses.
    """
    return _changed(preset, path.split("."), path, value)


def parsed(setting: str) -> tuple[str, Value]:
    """Path and value of ``path=value``: a number, a list (``[32,24]``) as a tuple, or else text.

    Raises :class:`ConfigurationError`.
    """
    path, equals, text = setting.partition("=")
    if not equals or not path or not text:
        raise ConfigurationError(f"setting is {setting!r}; allowed: path=value, such as quantised_phase.epochs=5")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return path, text
    if isinstance(value, list):
        return path, _as_tuple(value)
    return path, value if isinstance(value, int | float) and not isinstance(value, bool) else text


def _as_tuple(value: Any) -> Any:
    """Lists as tuples, also within each other."""
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else value


def _changed(holder: T, names: list[str], path: str, value: Value) -> T:
    name, *rest = names
    assert dataclasses.is_dataclass(holder)
    known = {field.name for field in dataclasses.fields(holder)}
    if name not in known:
        raise ConfigurationError(f"no {path!r} in a preset: {name!r} is none of {', '.join(sorted(known))}")
    old: Any = getattr(holder, name)
    if rest and old is None and name in ("first", "last"):
        old = getattr(holder, "layers", LayerRecipe())
    if rest and not dataclasses.is_dataclass(old):
        raise ConfigurationError(f"no {path!r} in a preset: {name!r} has no fields")
    new = _changed(old, rest, path, value) if rest else _converted(old, path, value)
    return dataclasses.replace(holder, **{name: new})  # type: ignore[type-var]


def _converted(old: Any, path: str, value: Value) -> Value:
    """The value as the type of the old one; whoever holds it checks it further."""
    if isinstance(old, bool):
        if isinstance(value, bool) or value in ("true", "false"):
            return value in (True, "true")
        raise ConfigurationError(f"{path} is {value!r}; allowed: true, false")
    if isinstance(old, float) and is_number(value):
        return float(value)  # type: ignore[arg-type]
    if not isinstance(old, str | int | float | tuple):
        parts = dataclasses.fields(old if dataclasses.is_dataclass(old) else LayerRecipe)
        allowed = ", ".join(f"{path}.{part.name}" for part in parts)
        raise ConfigurationError(f"{path} cannot be set as a whole; allowed: {allowed}")
    if type(value) is not type(old):
        listed = isinstance(old, tuple)
        kind = f"a list, such as {json.dumps(old, default=repr)}" if listed else f"a value of the kind of {old!r}"
        raise ConfigurationError(f"{path} is {value!r}; allowed: {kind}")
    return value
