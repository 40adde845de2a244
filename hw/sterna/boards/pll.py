"""Phase-locked loops of iCE40 and ECP5: one clock in, one clock out."""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import C, Instance, Module
from amaranth.lib import io, wiring
from amaranth.lib.wiring import Out

from sterna.spec.errors import ConfigurationError


def _no_setting(source: int, target: int, kind: str) -> ConfigurationError:
    return ConfigurationError(f"{kind} cannot make {target} Hz of {source} Hz exactly; mend: choose another frequency")


@dataclass(frozen=True)
class Ice40Setting:
    """``out = in · (divf + 1) / (2^divq · (divr + 1))``, feedback simple (Lattice TN1251)."""

    divr: int
    divf: int
    divq: int
    filter_range: int


def ice40_setting(source: int, target: int) -> Ice40Setting:
    """Dividers that make exactly ``target`` Hz, the phase detector as fast as may be. Raises
    :class:`ConfigurationError` if there are none: detector 10…133 MHz, oscillator 533…1066 MHz."""
    limits = 17, 26, 44, 66, 101, 133  # of the detector's frequency in MHz, for filter ranges 1…6
    for divr in range(16):
        detector = source / (divr + 1)
        if not 10e6 <= detector <= 133e6:
            continue
        for divq in range(1, 7):
            oscillator = target << divq
            multiplier, rest = divmod(oscillator * (divr + 1), source)
            if 533_000_000 <= oscillator <= 1_066_000_000 and rest == 0 and multiplier <= 128:
                filter_range = next(k for k, limit in enumerate(limits, 1) if detector <= limit * 1e6)
                return Ice40Setting(divr, multiplier - 1, divq, filter_range)
    raise _no_setting(source, target, "an iCE40 PLL")


@dataclass(frozen=True)
class Ecp5Setting:
    """``out = in · feedback / input``; the oscillator runs at ``output`` times that (Lattice FPGA-TN-02200)."""

    input: int
    feedback: int
    output: int


def ecp5_setting(source: int, target: int) -> Ecp5Setting:
    """Dividers that make exactly ``target`` Hz, oscillator near 600 MHz. Raises :class:`ConfigurationError` if there
    are none: detector 10…400 MHz, oscillator 400…800 MHz."""
    outputs = sorted(range(1, 129), key=lambda output: abs(target * output - 600_000_000))
    for divider in range(1, 129):
        multiplier, rest = divmod(target * divider, source)
        if rest or not 1 <= multiplier <= 80 or not 10_000_000 <= source / divider <= 400_000_000:
            continue
        if 400_000_000 <= target * outputs[0] <= 800_000_000:
            return Ecp5Setting(divider, multiplier, outputs[0])
    raise _no_setting(source, target, "an ECP5 PLL")


class Pll(wiring.Component):
    """The part's PLL: ``target`` Hz from the ``source`` Hz that come in at ``pin``.

    ``pin_is_pad`` (iCE40): it is the PLL's own pad, with nothing between.
    ``locked`` is asynchronous, and low while ``clock`` cannot be used.
    """

    clock: Out(1)
    locked: Out(1)

    def __init__(self, *, pin: io.PortLike, source: int, target: int, pin_is_pad: bool = False):
        self.pin = pin
        self.source = source
        self.target = target
        self.pin_is_pad = pin_is_pad
        super().__init__()

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        reference: dict[str, Any]
        if self.pin_is_pad:
            reference = {"io_PACKAGEPIN": self.pin.io}
        else:
            m.submodules.buffer = buffer = io.Buffer("i", self.pin)
            reference = {"i_REFERENCECLK": buffer.i, "i_CLKI": buffer.i}
        if platform.device.startswith("iCE40"):
            reference.pop("i_CLKI", None)
            m.submodules.pll = self._ice40(reference)
        else:
            reference.pop("i_REFERENCECLK")
            m.submodules.pll = self._ecp5(reference)
        return m

    def _ice40(self, reference: dict[str, Any]) -> Instance:
        setting = ice40_setting(self.source, self.target)
        return Instance(
            "SB_PLL40_PAD" if self.pin_is_pad else "SB_PLL40_CORE",
            p_FEEDBACK_PATH="SIMPLE",
            p_DIVR=C(setting.divr, 4),
            p_DIVF=C(setting.divf, 7),
            p_DIVQ=C(setting.divq, 3),
            p_FILTER_RANGE=C(setting.filter_range, 3),
            **reference,
            i_RESETB=C(1, 1),
            i_BYPASS=C(0, 1),
            o_PLLOUTGLOBAL=self.clock,
            o_LOCK=self.locked,
        )

    def _ecp5(self, reference: dict[str, Any]) -> Instance:
        setting = ecp5_setting(self.source, self.target)
        return Instance(
            "EHXPLLL",
            p_CLKI_DIV=setting.input,
            p_CLKFB_DIV=setting.feedback,
            p_CLKOP_DIV=setting.output,
            p_CLKOP_ENABLE="ENABLED",
            p_CLKOP_CPHASE=setting.output - 1,
            p_CLKOP_FPHASE=0,
            p_FEEDBK_PATH="CLKOP",
            a_FREQUENCY_PIN_CLKI=f"{self.source / 1e6:g}",
            a_FREQUENCY_PIN_CLKOP=f"{self.target / 1e6:g}",
            a_ICP_CURRENT="12",
            a_LPF_RESISTOR="8",
            **reference,
            i_CLKFB=self.clock,
            i_RST=C(0, 1),
            i_STDBY=C(0, 1),
            o_CLKOP=self.clock,
            o_LOCK=self.locked,
        )
