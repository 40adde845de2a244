"""What the link has on its two sides: the host's bytes, and the core."""

from typing import Any

from amaranth.hdl import signed
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from sterna.gateware.interfaces import MemoryWrite, counters, input_activation, read_request, run_request
from sterna.spec.configuration import Configuration


def link_ports(configuration: Configuration) -> dict[str, Any]:
    """Members of a component between the host's bytes and the core, or cores."""
    c = configuration
    ports = {
        "rx": In(stream.Signature(8)),
        "tx": Out(stream.Signature(8)),
        "bad_frame": Out(1),
        "write": Out(MemoryWrite(c)),
        "inputs": Out(stream.Signature(input_activation(c))),
        "starts": Out(stream.Signature(run_request())),
        "running": In(c.cores),
        "reads": Out(stream.Signature(read_request(c))),
        "read_values": In(stream.Signature(signed(c.act_bits))),
        "counters": In(counters(c)),
    }
    return ports | ({"core": Out(range(c.cores))} if c.cores > 1 else {})
