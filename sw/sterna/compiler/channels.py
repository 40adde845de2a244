"""Layers too large for a memory alone, as several layers that share the channels between them.

Whoever reads such a layer reads its parts as planes of their own, which gives the same sums.
"""

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

import numpy as np

from sterna.spec.network import IntegerNetwork, Layer, Plane

Borders = list[int]
"""Channels at which parts begin, and where the last one ends."""


def share_channels(
    network: IntegerNetwork, parts: Mapping[str, int], unit: int
) -> tuple[IntegerNetwork, dict[str, str]]:
    """The network with some layers in so many ``parts``, each of a multiple of ``unit`` channels but for the last.

    Returns it with the layer that each of its layers is, or is a part of. Outputs are in order, part by part. Raises
    :class:`ModelError` where a layer would have too many planes.
    """
    borders = {
        layer.name: _borders(len(layer.bias), parts[layer.name], unit) if layer.name in parts else []
        for layer in network.layers
    }
    names = {
        name: [f"{name}[{first}:{end}]" for first, end in pairwise(found)] or [name] for name, found in borders.items()
    }
    layers: list[Layer] = []
    for layer in network.layers:
        planes = tuple(
            part
            for plane in layer.planes
            for part in _by_source(plane, names.get(plane.source, []), borders.get(plane.source, []))
        )
        whole = replace(layer, planes=planes)
        cuts = borders[layer.name] or [0, len(layer.bias)]
        layers += [_part(whole, name, *cut) for name, cut in zip(names[layer.name], pairwise(cuts), strict=True)]
    scales = zip(network.outputs, network.output_scale, strict=True)
    outputs = [(part, scale) for name, scale in scales for part in names[name]]
    shared = replace(
        network,
        layers=tuple(layers),
        outputs=tuple(name for name, _ in outputs),
        output_scale=tuple(scale for _, scale in outputs),
    )
    return shared, {part: name for name, of_layer in names.items() for part in of_layer}


def _borders(channels: int, parts: int, unit: int) -> Borders:
    step = -(-channels // (parts * unit)) * unit
    return [*range(0, channels, step), channels]


def _ungrouped(plane: Plane) -> Plane:
    """The plane with the zeros that its groups stand for."""
    outputs, height, width, depth = plane.trits.shape
    trits = np.zeros((outputs, height, width, depth * plane.groups), np.int8)
    size = outputs // plane.groups
    for group in range(plane.groups):
        rows = slice(group * size, (group + 1) * size)
        trits[rows, :, :, group * depth : (group + 1) * depth] = plane.trits[rows]
    return replace(plane, trits=trits, groups=1)


def _by_source(plane: Plane, names: list[str], borders: Borders) -> list[Plane]:
    """The plane over each part of its source."""
    if not borders:
        return [plane]
    trits = _ungrouped(plane).trits
    return [
        replace(plane, source=name, trits=np.ascontiguousarray(trits[..., first:end]), groups=1)
        for name, (first, end) in zip(names, pairwise(borders), strict=True)
    ]


def _part(layer: Layer, name: str, first: int, end: int) -> Layer:
    """The layer of some of its channels."""
    if (first, end) == (0, len(layer.bias)):
        return replace(layer, name=name)
    planes = (_ungrouped(plane) if plane.groups > 1 else plane for plane in layer.planes)
    return replace(
        layer,
        name=name,
        planes=tuple(replace(p, trits=p.trits[first:end], multiplier=p.multiplier[first:end]) for p in planes),
        bias=layer.bias[first:end],
        shift=layer.shift[first:end],
    )
