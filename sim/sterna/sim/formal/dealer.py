"""The dealer: what the link offers, and cores that take it when they like."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal, Value

from sterna.gateware.control.dealer import Dealer
from sterna.sim.formal.property import Property, always, free, given, held, implies
from sterna.spec.configuration import Configuration

CORES = 4
CONFIGURATION = Configuration(
    name="dealer", simd=1, pe=4, act_bits=2, acc_bits=8, weight_depth=16, mask_depth=16, activation_depth=16,
    parameter_depth=16, pool_depth=16, program_depth=16, cores=CORES,
)  # fmt: skip


class DealerOffers(Property):
    """Every core is offered all words, and of the rest what is sent to it, once and as it was sent, until it takes it;
    nothing new is taken from the link for a core for which something waits. A run is taken from the link in the cycle
    after its core has taken it, and a core that runs is seen to from the next cycle on."""

    depth = 2

    def __init__(self, dealer: Any = Dealer) -> None:
        super().__init__()
        self.dealer = dealer(configuration=CONFIGURATION)

    def build(self, m: Module) -> None:
        dealer = self.dealer
        m.submodules.dealer = dealer
        free(m, dealer.core, dealer.read_values.ready)
        for k, core in enumerate(dealer.cores):
            free(m, core.running, core.counters, core.read_values.valid, core.read_values.payload)
            ran = Signal(name=f"ran_{k}")
            m.d.sync += ran.eq(core.running)
            always(m, dealer.running[k] == ran)
        waiting = []
        for name in ("write", "inputs", "reads"):
            ours = getattr(dealer, name)
            free(m, ours.valid, *_parts(ours))
            comes = ours.valid & ours.ready
            for k, core in enumerate(dealer.cores):
                its, owed = getattr(core, name), Signal(name=f"{name}_owed_{k}")
                last = Signal(len(_content(ours)), name=f"{name}_sent_{k}")
                free(m, its.ready)
                goes = comes if name == "write" else comes & (dealer.core == k)
                with m.If(goes):
                    m.d.sync += [owed.eq(1), last.eq(_content(ours))]
                with m.Elif(its.ready):
                    m.d.sync += owed.eq(0)
                always(m, its.valid == owed, implies(owed, _content(its) == last))
                waiting.append((k, goes, owed))
        self._build_starts(m, waiting)
        for k in range(CORES):
            some = Cat(owed for core, _, owed in waiting if core == k).any()
            always(m, *(implies(some, ~goes) for core, goes, _ in waiting if core == k))

    def _build_starts(self, m: Module, waiting: list[Any]) -> None:
        dealer, starts = self.dealer, self.dealer.starts
        free(m, starts.valid, *_parts(starts))
        core, stays = Signal.like(dealer.core), Signal()  # offers are not taken back, and `core` holds
        m.d.sync += [core.eq(dealer.core), stays.eq(starts.valid & ~starts.ready)]
        given(m, held(m, starts, "starts"), implies(stays, dealer.core == core))
        for k in range(CORES):
            its, took = dealer.cores[k].starts, Signal(name=f"took_{k}")
            free(m, its.ready)
            m.d.sync += took.eq(its.valid & its.ready)
            for_it = starts.valid & (dealer.core == k)
            always(m, held(m, its, f"starts_{k}"), implies(for_it, starts.ready == took))
            always(m, implies(took, for_it & ~its.valid))
            always(m, implies(its.valid, for_it & (_content(its) == _content(starts))))
            waiting.append((k, Const(0), its.valid))


def _parts(offer: Any) -> list[Value]:
    return [Value.cast(getattr(offer, name)) for name in offer.signature.members if name not in ("valid", "ready")]


def _content(offer: Any) -> Value:
    return Cat(_parts(offer))
