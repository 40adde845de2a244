"""Wrong components: each breaks one thing, in the words of the component itself."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import Component, Out

from sterna.gateware.compute.capture import Capture
from sterna.gateware.compute.feeder import Feeder
from sterna.gateware.compute.requantiser import Requantiser
from sterna.gateware.compute.scanner import Scanner
from sterna.gateware.control.dealer import Dealer
from sterna.gateware.link.crc import Crc32c
from sterna.gateware.link.processor import LinkProcessor
from sterna.gateware.memory.packer import Packer
from sterna.gateware.memory.trit_decoder import Trit5Decoder
from sterna.gateware.memory.word_packer import WordGatherer, WordPacker


class OverfullQueue(SyncFIFOBuffered):
    """Takes more than it has room for."""

    def elaborate(self, platform: Any) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.w_rdy.eq(1)
        return m


class EagerCapture(Capture):
    """Takes the next output while the last group of the one before still waits."""

    def elaborate(self, platform: Any) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.ready.eq(~self.groups.valid | self.groups.payload.last)
        return m


class HastyRequantiser(Requantiser):
    """Takes groups while its output is stalled."""

    def elaborate(self, platform: Any) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.groups.ready.eq(1)
        return m


class BlindScanner(Scanner):
    """Forgets that the second half of an unaligned row is in the next word."""

    def elaborate(self, platform: Any) -> Module:
        m = super().elaborate(platform)
        behind = Signal.like(self.activation_masks.address)
        m.d.comb += behind.eq(self.chunks.payload.word >> 3)
        with m.If(self.chunks.valid & self.chunks.payload.half):
            m.d.comb += self.activation_masks.address.eq(behind)
        return m


class ForgetfulScanner(Scanner):
    """Reads the first block mask for every chunk."""

    def elaborate(self, platform: Any) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.block_masks.address.eq(self.first_mask)
        return m


class CrowdedFeeder(Feeder):
    """Takes a third chunk while two wait."""

    def elaborate(self, platform: Any) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.room.eq(1)
        return m


class DenseFeeder(Feeder):
    """Takes any block for the one behind the last."""

    def elaborate(self, platform: Any) -> Module:
        m = super().elaborate(platform)
        with m.If(self.step):
            m.d.sync += self.block.eq(self.block + 1)
        return m


class OverlappingPacker(Packer):
    """Takes groups while it still passes over zeros."""

    def elaborate(self, platform: Any) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.run.ready.eq(self.write.ready)
        return m


class ForgetfulGatherer(WordGatherer):
    """Takes a group while its word is not taken yet."""

    def elaborate(self, platform: Any) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.groups.ready.eq(1)
        return m


class SilentPacker(WordPacker):
    """Does not write its zeros."""

    def elaborate(self, platform: Any) -> Module:
        m = super().elaborate(platform)
        some = self.run.valid & self.run.ready & self.run.payload.write
        m.d.comb += [self.write.payload.changes.eq(some), self.write.payload.banks.eq(Mux(some, -1, 0))]
        return m


class CarelessDecoder(Trit5Decoder):
    """Flags nothing."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.illegal.eq(0)
        return m


class HurriedDealer(Dealer):
    """Takes the next word as soon as one core has this one."""

    def elaborate(self, platform: Any) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.write.ready.eq(Cat(core.write.ready for core in self.cores).any())
        return m


class ZeroCrc(Crc32c):
    """Has no CRC."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.low.eq(0)
        return m


class BoundlessRing(LinkProcessor):
    """Takes bytes whatever there is room for; of a few."""

    ring_bytes = 4

    def elaborate(self, platform: Any) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.rx.ready.eq(1)
        return m


class ImpatientSender(Component):
    """Offers the count of cycles, and takes it back if nobody wants it at once."""

    def __init__(self) -> None:
        super().__init__({"o": Out(stream.Signature(8))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.d.sync += self.o.payload.eq(self.o.payload + 1)
        m.d.comb += self.o.valid.eq(1)
        return m
