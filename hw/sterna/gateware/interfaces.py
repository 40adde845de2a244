"""Structs and signatures between the link and the core."""

from amaranth.hdl import signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from sterna.gateware.tally import tally_bits
from sterna.spec.configuration import Configuration
from sterna.spec.image import Region, region_words, word_bytes
from sterna.spec.registers import Register


class MemoryWrite(wiring.Signature):
    """One word for one memory, taken in a cycle with ``valid`` and ``ready``.

    ``address`` is checked by the sender to lie below ``region_words``; for banked regions its high bits are the bank.
    ``data`` holds the region's word in its high bits: bytes come one by one, and shift the others down.
    """

    def __init__(self, configuration: Configuration):
        self.address_bits = max((region_words(region, configuration) - 1).bit_length() for region in Region)
        self.data_bits = 8 * max(word_bytes(region, configuration) for region in Region)
        super().__init__(
            {
                "valid": Out(1),
                "ready": In(1),
                "region": Out(unsigned(max(Region).bit_length())),
                "address": Out(self.address_bits),
                "data": Out(self.data_bits),
            }
        )


def input_activation(configuration: Configuration) -> data.StructLayout:
    """Payload of the stream of input activations: bursts that begin with ``first`` and end with ``last``.

    ``word`` counts with ``first`` only: activation word (multiple of CHUNK) where the burst begins, in bank 0.
    """
    return data.StructLayout({"value": signed(configuration.act_bits), "word": 16, "first": 1, "last": 1})


def run_request() -> data.StructLayout:
    """Payload of the stream that starts runs; the core takes one when it is idle."""
    return data.StructLayout({"entry": 16, "offset": 16, "ops": 8})


def read_request(configuration: Configuration) -> data.StructLayout:
    """Payload of the stream of activation reads; each is answered once, in order, on a stream of activations."""
    return data.StructLayout({"word": 16, "bank": max(1, (configuration.simd - 1).bit_length())})


def counters(configuration: Configuration) -> data.StructLayout:
    """The low bits of the core's counters (``sterna.spec.registers`` names them); the link adds the high."""
    counted = [register for register in Register if register >= Register.CYCLES]
    return data.StructLayout({r.name.lower(): unsigned(tally_bits(r, configuration)) for r in counted})
