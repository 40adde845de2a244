"""Bench of the stand-in ``Echo``: shows that source, sink, monitor and scoreboard find what they are there to find."""

from random import Random

import cocotb
import pytest

from sterna.sim.bench import parameters
from sterna.sim.streams import Handle, Monitor, Scoreboard, Sink, Source, start


@cocotb.test()
async def echoes(dut: Handle) -> None:
    """Random bytes, random stalls at both ends: every byte comes back XOR ``key``, in order."""
    given = {"seed": 0, "stalls": 0.9, "count": 500, "key": 0} | parameters()
    random = Random(given["seed"])  # noqa: S311 (stimulus)
    sent, received = Scoreboard("rx"), Scoreboard("tx")
    Monitor(dut, "rx", sent.see)
    Monitor(dut, "tx", received.see)
    source = Source(dut, "rx", seed=random.getrandbits(32), stalls=given["stalls"])
    sink = Sink(dut, "tx", seed=random.getrandbits(32), stalls=given["stalls"])
    await start(dut)
    data = random.randbytes(given["count"])
    sent.expect(data)
    received.expect(byte ^ given["key"] for byte in data)
    source.send(data)
    assert [item async for item in sink.items(len(data))] == [byte ^ given["key"] for byte in data]
    await source.drain()
    sent.finish()
    received.finish()


@cocotb.test()
async def silence_times_out(dut: Handle) -> None:
    """A sink that gets nothing says so after its bound."""
    dut.rx__valid.value = 0
    sink = Sink(dut, "tx")
    await start(dut)
    with pytest.raises(TimeoutError, match="tx: no item within 50 cycles"):
        await sink.receive(timeout=50)
