"""A graph as it was read: nodes by name, constants, one input. Nothing here knows the file's format."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from sterna.interop.operators import MAX_ELEMENTS, Array

__all__ = ["MAX_ELEMENTS", "Array", "Graph", "Node"]


@dataclass(frozen=True, kw_only=True)
class Node:
    """One operator."""

    op: str
    name: str
    inputs: tuple[str, ...]
    """Names of values; empty where an optional one is left out."""
    output: str
    attributes: Mapping[str, Any]
    standard: bool
    """Whether it is one of ONNX's own operators."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Graph:
    """Operators in an order in which every value is defined before it is used."""

    input: str
    shape: tuple[int, ...]
    """Of the input, for a batch of one."""
    dtype: npt.DTypeLike
    outputs: tuple[str, ...]
    constants: Mapping[str, Array]
    """float32, float64 or int64."""
    nodes: tuple[Node, ...]
