"""A compiled module in this process, and a bench runner over it like that of Amaranth's simulator.

The benches are those of :mod:`sterna.sim.checks`: coroutines that ``set`` and ``get`` signals and wait for ticks. All
of them see the values before a clock edge in what they sample, and those after it, in their order, once they go on.
"""

import ctypes
import tempfile
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

from amaranth.hdl import Const, Elaboratable, Shape, Value
from amaranth.lib import data, wiring

from sterna.flow.verilog import Verilog
from sterna.sim.checks.testbench import MAX_CYCLES, Bench
from sterna.sim.mutation.mutants import SELECT, SELECT_BITS, Port, signals
from sterna.sim.verilate import Progress, quiet, verilate

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


class Compiled:
    """A Verilog module with ports, compiled into a library that this process loads."""

    def __init__(self, verilog: Verilog, ports: Sequence[Port], *, name: str, progress: Progress = quiet) -> None:
        self.ports = ports
        names = [*(port.name for port in ports), SELECT]
        cases = "\n".join(f"    case {k}: return &top->{each};" for k, each in enumerate(names))
        with tempfile.TemporaryDirectory(prefix="sterna-model-") as folder:
            main = Path(folder) / "main.cpp"
            main.write_text(_MAIN.format(cases=cases))
            path = verilate(verilog, main, flags=["--no-assert", "-CFLAGS", "-fPIC", "-LDFLAGS", "-shared"], name=name,
                            progress=progress)  # fmt: skip
        self._library = ctypes.CDLL(str(path))
        for function in (self._library.make, self._library.port):
            function.restype = ctypes.c_void_p

    def instance(self, mutant: int) -> "Instance":
        return Instance(self._library, self.ports, mutant)


class Instance:
    """One mutant at power-up."""

    def __init__(self, library: ctypes.CDLL, ports: Sequence[Port], mutant: int) -> None:
        self._library = library
        self._top = ctypes.c_void_p(library.make())
        self._bytes = {}
        for number, port in enumerate([*ports, Port(SELECT, SELECT_BITS)]):
            size = next((n for n in (1, 2, 4, 8) if 8 * n >= port.width), 4 * -(-port.width // 32))
            address = library.port(self._top, number)
            self._bytes[port.name] = (ctypes.c_char * size).from_address(address), size
        self.set(SELECT, mutant)

    def close(self) -> None:
        self._library.drop(self._top)

    def set(self, port: str, value: int) -> None:
        at, size = self._bytes[port]
        at.raw = value.to_bytes(size, "little")

    def get(self, port: str) -> int:
        return int.from_bytes(self._bytes[port][0].raw, "little")

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


class Context:
    """What a bench gets: the part of Amaranth's that the checks use."""

    def __init__(self, instance: Instance, names: dict[int, str]) -> None:
        self._instance = instance
        self._names = names
        self._changed = True

    def _name(self, value: Any) -> str:
        return self._names[id(Value.cast(value))]

    def set(self, target: Any, value: Any) -> None:
        shape = target.shape()
        if not isinstance(shape, Shape):
            constant = Value.cast(value if isinstance(value, data.Const) else shape.const(value))
            assert isinstance(constant, Const)
            value = constant.value
        width = len(Value.cast(target))
        self._instance.set(self._name(target), int(value) & ((1 << width) - 1))
        self._changed = True

    def get(self, value: Any) -> Any:
        self.settle()
        return self.read(value)

    def settle(self) -> None:
        if self._changed:
            self._instance.settle()
            self._changed = False

    def read(self, value: Any) -> Any:
        shape, bits = value.shape(), self._instance.get(self._name(value))
        if not isinstance(shape, Shape):
            return shape.from_bits(bits)
        return bits - (1 << shape.width) if shape.signed and bits >> (shape.width - 1) else bits

    def tick(self) -> _Tick:
        return _Tick(self)


def _mark_used(component: Elaboratable) -> None:
    """Amaranth warns of components that are never elaborated; here they only lend their signals."""
    component._MustUse__used = True
    for inner in vars(component).values():
        if isinstance(inner, Elaboratable):
            _mark_used(inner)


def simulator(compiled: Compiled, mutant: int, *, cycles: int | None = None) -> Callable[..., None]:
    """Runs checks on a mutant as :func:`sterna.sim.checks.testbench.simulate` does on a component.

    ``cycles``: fails a check that takes more, whatever the check allows.
    """
    limit = cycles

    def simulate(component: wiring.Component, *benches: Bench, cycles: int = MAX_CYCLES, **background: Bench) -> None:
        names = {id(signal): name for name, signal in signals(component)}
        instance = compiled.instance(mutant)
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
