"""Bench of the stand-in ``Impatient``: the monitor must fail it."""

import cocotb

from sterna.sim.streams import Handle, Monitor, Sink, start


@cocotb.test()
async def keeps_the_rules(dut: Handle) -> None:
    """Watches ``tx`` for a while with a sink that stalls."""
    dut.rx__valid.value = 0
    Monitor(dut, "tx", lambda item: None)
    sink = Sink(dut, "tx", seed=1, stalls=0.5)
    await start(dut)
    for _ in range(200):
        await sink.receive()
