"""The golden model: what a network's integers are, bit for bit, in NumPy alone.

Everything that computes a network (torch, RTL, netlist, board) must give what this gives.
"""

from sterna.golden.inference import predict, trace
from sterna.spec.model_file import load_network as load

__all__ = ["load", "predict", "trace"]
