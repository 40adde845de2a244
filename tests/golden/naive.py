"""The layer formula as loops over Python integers: slow, and hard to get wrong."""

from typing import Any

from sterna.spec.network import IntegerNetwork


def naive_trace(network: IntegerNetwork, image: list[list[list[int]]]) -> dict[str, Any]:
    """Every tensor of one quantised image as nested lists [row][column][channel]."""
    tensors: dict[str, Any] = {network.input.name: image}
    for layer in network.layers:
        height, width, channels = network.shape(layer.name)
        tensors[layer.name] = [
            [[_pooled(layer, tensors, y, x, c) for c in range(channels)] for x in range(width)] for y in range(height)
        ]
    return tensors


def _pooled(layer: Any, tensors: dict[str, Any], y: int, x: int, c: int) -> int:
    rows, columns = layer.pool
    return max(
        _value(layer, tensors, y * rows + row, x * columns + column, c)
        for row in range(rows)
        for column in range(columns)
    )


def _value(layer: Any, tensors: dict[str, Any], y: int, x: int, c: int) -> int:
    total = int(layer.bias[c])
    for plane in layer.planes:
        source, trits = tensors[plane.source], plane.trits[c].tolist()
        first = c // (len(plane.trits) // plane.groups) * plane.trits.shape[3]
        accumulator = 0
        for row in range(len(trits)):
            for column in range(len(trits[0])):
                source_y = y * plane.stride[0] + row - plane.padding[0]
                source_x = x * plane.stride[1] + column - plane.padding[2]
                if 0 <= source_y < len(source) and 0 <= source_x < len(source[0]):
                    for channel, trit in enumerate(trits[row][column], first):
                        accumulator += trit * source[source_y][source_x][channel]
        total += int(plane.multiplier[c]) * accumulator
    return min(max(total >> int(layer.shift[c]), layer.minimum), layer.maximum)
