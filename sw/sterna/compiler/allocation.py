"""Where tensors lie in activation memory."""

from dataclasses import dataclass

from sterna.compiler.lowering import Op
from sterna.spec.layout import TensorLayout, whole_chunks
from sterna.spec.network import IntegerNetwork


@dataclass(frozen=True)
class Allocation:
    """First word of each tensor in slot 0, which of them have a place in each slot, how far it is to slot 1 (0: there
    is none), and the words in use."""

    word: dict[str, int]
    slotted: frozenset[str]
    slot_offset: int
    used: int


def allocate(network: IntegerNetwork, ops: list[Op], layouts: dict[str, TensorLayout], depth: int) -> Allocation:
    """Input and outputs get a place in each of the two slots, so that the link works on one while a run uses the other;
    a tensor between them takes the lowest gap among those that live at the same time. If that takes more than ``depth``
    words, there is but one slot."""
    two = _allocate(network, ops, layouts, 2)
    return two if two.used <= depth else _allocate(network, ops, layouts, 1)


def _allocate(network: IntegerNetwork, ops: list[Op], layouts: dict[str, TensorLayout], slots: int) -> Allocation:

    def size(tensor: str) -> int:
        return whole_chunks(layouts[tensor].words)

    slotted = [network.input.name, *network.outputs]
    place, top = {}, 0
    for tensor in slotted:
        place[tensor] = top
        top += size(tensor)
    used = base = slots * top

    last_use = {plane.source: index for index, op in enumerate(ops) for plane in op.planes}  # the last reader counts
    live: dict[str, int] = {}
    for index, op in enumerate(ops):
        name = op.layer.name
        if name not in place:
            at = base
            for tensor in sorted(live, key=place.__getitem__):
                if at + size(name) <= place[tensor]:
                    break
                at = max(at, place[tensor] + size(tensor))
            place[name] = at
            used = max(used, at + size(name))
            live[name] = last_use.get(name, index)
        live = {tensor: until for tensor, until in live.items() if until > index}
    return Allocation(place, frozenset(slotted), top if slots > 1 else 0, used)
