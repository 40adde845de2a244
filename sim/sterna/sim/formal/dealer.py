"""The dealer: words for all cores, each of which holds its pipeline when it likes."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal

from sterna.gateware.control.dealer import Dealer
from sterna.sim.formal.opened import Opened
from sterna.sim.formal.property import Property, always, free, given, held, implies
from sterna.spec.configuration import Configuration

CORES = 4
CONFIGURATION = Configuration(
    name="dealer", simd=1, pe=4, act_bits=2, acc_bits=8, weight_depth=16, mask_depth=16, activation_depth=16,
    parameter_depth=16, pool_depth=16, program_depth=16, cores=CORES,
)  # fmt: skip


class DealerWords(Property):
    """Every core takes every word once, as it was offered, however the cores hold; the word is taken from the
    link in the cycle in which the last of them has it."""

    depth = 2

    def __init__(self, dealer: Any = Dealer) -> None:
        super().__init__()
        self.dealer = dealer(configuration=CONFIGURATION)

    def build(self, m: Module) -> None:
        dealer, write = self.dealer, self.dealer.write
        m.submodules.dealer = opened = Opened(dealer)
        free(m, write.valid, write.region, write.address, write.data, dealer.core, dealer.read_values.ready)
        for name in ("inputs", "starts", "reads"):
            free(m, getattr(dealer, name).valid, getattr(dealer, name).payload)
        word = Cat(write.region, write.address, write.data)
        given(m, held(m, write, "write", word))

        had, has = Signal(CORES), Signal(CORES)  # by core: the word that is offered, before this cycle and after
        for k, core in enumerate(dealer.cores):
            free(m, core.write.ready, core.running, core.counters, core.read_values.valid, core.read_values.payload)
            free(m, core.inputs.ready, core.starts.ready, core.reads.ready)
            its = Cat(core.write.region, core.write.address, core.write.data)
            takes = core.write.valid & core.write.ready
            m.d.comb += has[k].eq(had[k] | takes)
            always(m, held(m, core.write, f"write_{k}", its))
            always(m, implies(takes, write.valid & ~had[k] & (its == word)))
        m.d.sync += had.eq(Mux(write.ready, 0, has))
        always(m, implies(write.valid, write.ready == has.all()))

        always(m, had == opened["taken"], implies(had.any(), write.valid), ~had.all())
