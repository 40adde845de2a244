"""A component whose inner signals and memories an invariant may speak of, without a change to the component."""

from typing import Any

from amaranth.hdl import Const, Elaboratable, Fragment, MemoryInstance, Signal, Value


class Opened(Elaboratable):
    """Elaborates ``component`` once; its hierarchy is then open to property modules.

    Signals are those that the component drives, by name and by the path of submodules that hold them:
    ``opened["pointer"]``, ``opened["decoder.left"]``. Of several with one name (states of several FSMs) the first is
    ``name``, the next ``name#1``.
    """

    def __init__(self, component: Elaboratable) -> None:
        self.fragment = Fragment.get(component, None)
        self.signals: dict[str, Signal] = {}
        self._memories: dict[str, MemoryInstance] = {}
        self._collect(self.fragment, "")

    def _collect(self, fragment: Fragment, path: str) -> None:
        if isinstance(fragment, MemoryInstance):
            self._memories[path.removesuffix(".")] = fragment
            return
        for statements in fragment.statements.values():
            for signal in statements._lhs_signals():
                if self.signals.get(name := path + signal.name) is signal:
                    continue
                names = (name, *(f"{name}#{n}" for n in range(1, 100)))
                found = next(n for n in names if n not in self.signals or self.signals[n] is signal)
                self.signals[found] = signal
        for number, (part, name, _) in enumerate(fragment.subfragments):
            self._collect(part, f"{path}{name or number}.")

    def __getitem__(self, name: str) -> Signal:
        """The signal of that path. Raises ``KeyError`` with the paths there are."""
        if name not in self.signals:
            raise KeyError(f"no signal {name!r}; there are: {', '.join(sorted(self.signals))}")
        return self.signals[name]

    def word(self, memory: str, address: Value) -> Signal:
        """What the memory of that path holds at ``address`` in this cycle."""
        if memory not in self._memories:
            raise KeyError(f"no memory {memory!r}; there are: {', '.join(sorted(self._memories))}")
        instance = self._memories[memory]
        width = Value.cast(instance._write_ports[0]._data).shape().width
        data = Signal(width, name=f"{memory.replace('.', '_')}_word")
        instance.read_port(domain="comb", addr=address, data=data, en=Const(1), transparent_for=())
        return data

    def elaborate(self, platform: Any) -> Fragment:
        return self.fragment
