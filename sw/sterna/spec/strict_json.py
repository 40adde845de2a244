"""JSON as files of ours hold it: no duplicate keys, no NaN, no number that a float64 or 64 bits would not hold."""

import json
import math
from typing import Any, NoReturn

from sterna.spec.errors import EncodingError

MAX_DIGITS = 20


def parse(text: str | bytes) -> Any:
    """The value of ``text``; bytes are UTF-8. Raises :class:`EncodingError`, on one line, for anything else."""
    try:
        return json.loads(
            text if isinstance(text, str) else text.decode(),
            object_pairs_hook=_object,
            parse_float=_float,
            parse_int=_int,
            parse_constant=_constant,
        )
    except EncodingError:
        raise
    except RecursionError:
        raise EncodingError("nested too deeply") from None
    except UnicodeDecodeError as error:
        raise EncodingError(f"not UTF-8: {error.reason}") from None
    except ValueError as error:
        raise EncodingError(str(error)) from None


def brief(value: Any) -> str:
    """``repr`` for an error's text."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"


def _object(items: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in items:
        if key in found:
            raise EncodingError(f"duplicate key {brief(key)}")
        found[key] = value
    return found


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise EncodingError(f"number {digits[:80]} is out of range")
    return value


def _int(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise EncodingError(f"number {digits[:80]} is out of range")
    return int(digits)


def _constant(name: str) -> NoReturn:
    raise EncodingError(f"{name} is not allowed")
