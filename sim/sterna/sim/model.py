"""A compiled module in this process, and a bench runner over it like that of Amaranth's simulator.

The benches are those of :mod:`sterna.sim.checks`: coroutines that ``set`` and ``get`` signals and wait for ticks. All
of them see the values before a clock edge in what they sample, and those after it, in their order, once they go on.
"""

import ctypes
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amaranth.hdl import Const, Elaboratable, Shape, Signal, Value
from amaranth.lib import data, wiring

from sterna.flow.verilog import Verilog, to_verilog
from sterna.sim.checks.testbench import MAX_CYCLES, Bench
from sterna.sim.verilate import Progress, quiet, verilate

PREFIX = "s_"
"""Of the names of ports: a signal may be called ``final``, which C++ keeps for itself."""

_MAIN = """#include "Vtop.h"
#include "verilated.h"
extern "C" {{
void* make() {{ return new Vtop(new VerilatedContext); }}
void drop(Vtop* top) {{ VerilatedContext* context = top->contextp(); top->final(); delete top; delete context; }}
void settle(Vtop* top) {{ top->eval(); }}
void edge(Vtop* top) {{ top->clk = 1; top->eval(); top->clk = 0; top->eval(); }}
void* port(Vtop* top, int number) {{
    switch (number) {{
{cases}
    }}
    return nullptr;
}}
}}
double sc_time_stamp() {{ return 0; }}
"""


@dataclass(frozen=True)
class Port:
    """A signal that benches may set or see."""

    name: str
    width: int


def signals(component: wiring.Component) -> Iterator[tuple[str, Signal]]:
    """Every signal that benches can name: ports and attributes of the component and of the components in it."""

    def walk(path: str, value: Any) -> Iterator[tuple[str, Signal]]:
        if isinstance(value, data.View):
            value = value.as_value()
        if isinstance(value, Signal):
            yield path, value
        elif isinstance(value, list):
            for number, each in enumerate(value):
                yield from walk(f"{path}_{number}", each)
        elif isinstance(value, wiring.Component):
            for name, inner in vars(value).items():
                yield from walk(f"{path}_{name.lstrip('_')}".lstrip("_"), inner)
        elif isinstance(getattr(value, "signature", None), wiring.Signature):
            for name in value.signature.members:
                yield from walk(f"{path}_{name}", getattr(value, name))

    seen = set()
    for path, signal in walk("", component):
        if id(signal) not in seen and len(signal):
            seen.add(id(signal))
            yield f"{PREFIX}{path}", signal


class Compiled:
    """A Verilog module with ports, compiled into a library that this process loads."""

    def __init__(
        self, verilog: Verilog, ports: Sequence[Port], *, name: str, library: str = "", progress: Progress = quiet
    ) -> None:
        self.ports = ports
        cases = "\n".join(f"    case {k}: return &top->{port.name};" for k, port in enumerate(ports))
        with tempfile.TemporaryDirectory(prefix="sterna-model-") as folder:
            main = Path(folder) / "main.cpp"
            main.write_text(_MAIN.format(cases=cases))
            path = verilate(verilog, main, library=library, name=name, progress=progress,
                            flags=["--no-assert", "-CFLAGS", "-fPIC", "-LDFLAGS", "-shared"])  # fmt: skip
        self._library = ctypes.CDLL(str(path))
        for function in (self._library.make, self._library.port):
            function.restype = ctypes.c_void_p

    def instance(self) -> "Instance":
        return Instance(self._library, self.ports)


class Instance:
    """The module at power-up."""

    def __init__(self, library: ctypes.CDLL, ports: Sequence[Port]) -> None:
        self._library = library
        self._top = ctypes.c_void_p(library.make())
        self._bytes: dict[str, Any] = {}
        for number, port in enumerate(ports):
            size = next((n for n in (1, 2, 4, 8) if 8 * n >= port.width), 4 * -(-port.width // 32))
            self._bytes[port.name] = (ctypes.c_char * size).from_address(library.port(self._top, number))

    def close(self) -> None:
        self._library.drop(self._top)

    def bytes_of(self, port: str) -> Any:
        """Where the port's value lies, little-endian: ``.raw``."""
        return self._bytes[port]

    def settle(self) -> None:
        self._library.settle(self._top)

    def edge(self) -> None:
        self._library.edge(self._top)


class _Tick:
    """What ``ctx.tick()`` gives."""

    def __init__(self, context: "Context", sampled: Sequence[Any] = ()) -> None:
        self._context = context
        self._sampled = sampled

    def sample(self, *values: Any) -> "_Tick":
        return _Tick(self._context, (*self._sampled, *values))

    def __await__(self) -> Generator[Sequence[Any], list[Any], tuple[Any, ...]]:
        values = yield self._sampled
        return True, False, *values

    async def repeat(self, count: int) -> None:
        for _ in range(count):
            await self

    async def until(self, condition: Any) -> None:
        done = False
        while not done:
            *_, done = await self.sample(condition)


class _Handle:
    """A signal, or a view of one, in an instance. What was read last is kept: it takes long to make of bits."""

    def __init__(self, value: Any, instance: Instance, name: str) -> None:
        self._value = value  # as long as it lives, no other has its `id`
        self._at = instance.bytes_of(name)
        self._size = len(self._at)
        self._shape = value.shape()
        self._width = len(Value.cast(value))
        self._raw: bytes | None = None
        self._read: Any = None

    def set(self, value: Any) -> None:
        if not isinstance(self._shape, Shape):
            constant = Value.cast(value if isinstance(value, data.Const) else self._shape.const(value))
            assert isinstance(constant, Const)
            value = constant.value
        self._at.raw = (int(value) & ((1 << self._width) - 1)).to_bytes(self._size, "little")

    def get(self) -> Any:
        raw = self._at.raw
        if raw != self._raw:
            self._raw = raw
            bits, shape = int.from_bytes(raw, "little"), self._shape
            if not isinstance(shape, Shape):
                self._read = shape.from_bits(bits)
            else:
                self._read = bits - (1 << shape.width) if shape.signed and bits >> (shape.width - 1) else bits
        return self._read


class Context:
    """What a bench gets: the part of Amaranth's that the checks use."""

    def __init__(self, instance: Instance, names: dict[int, str]) -> None:
        self._instance = instance
        self._names = names
        self._handles: dict[int, _Handle] = {}
        self._changed = True

    def _handle(self, value: Any) -> _Handle:
        handle = self._handles.get(id(value))
        if handle is None:
            handle = _Handle(value, self._instance, self._names[id(Value.cast(value))])
            self._handles[id(value)] = handle
        return handle

    def set(self, target: Any, value: Any) -> None:
        self._handle(target).set(value)
        self._changed = True

    def get(self, value: Any) -> Any:
        self.settle()
        return self.read(value)

    def settle(self) -> None:
        if self._changed:
            self._instance.settle()
            self._changed = False

    def read(self, value: Any) -> Any:
        return self._handle(value).get()

    def tick(self) -> _Tick:
        return _Tick(self)


def _mark_used(component: Elaboratable) -> None:
    """Amaranth warns of components that are never elaborated; here they only lend their signals."""
    component._MustUse__used = True
    for inner in vars(component).values():
        if isinstance(inner, Elaboratable):
            _mark_used(inner)


def simulator(
    compiled: Compiled, chosen: Mapping[str, int] | None = None, *, cycles: int | None = None
) -> Callable[..., None]:
    """Runs checks as :func:`sterna.sim.checks.testbench.simulate` does, on what the component was compiled to.

    ``chosen``: values of inputs that the component does not have. ``cycles``: fails a check that takes more, whatever
    the check allows.
    """
    limit = cycles

    def simulate(component: wiring.Component, *benches: Bench, cycles: int = MAX_CYCLES, **background: Bench) -> None:
        names = {id(signal): name for name, signal in signals(component)}
        instance = compiled.instance()
        for name, value in (chosen or {}).items():
            at = instance.bytes_of(name)
            at.raw = value.to_bytes(len(at), "little")
        context = Context(instance, names)
        running = [bench(context) for bench in (*benches, *background.values())]
        waiting: list[Any] = [None] * len(running)
        unfinished = set(range(len(benches)))

        def resume(number: int, values: list[Any] | None) -> None:
            try:
                waiting[number] = running[number].send(values)
            except StopIteration:
                waiting[number] = None
                unfinished.discard(number)

        try:
            for number in range(len(running)):
                resume(number, None)
            for _ in range(min(cycles, limit or cycles)):
                if not unfinished:
                    return
                context.settle()
                sampled = [waits and [context.read(value) for value in waits] for waits in waiting]
                stopped = [waits is None for waits in waiting]
                instance.edge()
                for number, values in enumerate(sampled):
                    if not stopped[number]:
                        resume(number, list(values))
            assert not unfinished, "no end"
        finally:
            for bench in running:
                bench.close()
            instance.close()
            _mark_used(component)

    return simulate


def compiled(
    component: wiring.Component, *, name: str, platform: Any = None, library: str = "", progress: Progress = quiet
) -> Compiled:
    """A component, of whose make any other may then be simulated.

    ``platform``: whose primitives it may use; ``library``: Verilog models of those.

    Raises :class:`ToolError` if a tool is missing or fails.
    """
    named = dict(signals(component))
    ports = [Port(each, len(signal)) for each, signal in named.items()]
    verilog = to_verilog(component, ports={each: (signal, None) for each, signal in named.items()}, platform=platform)
    return Compiled(verilog, ports, name=name, library=library, progress=progress)
