"""Compiler: an integer network and a configuration give a program image, or say what does not fit."""

from sterna.compiler.compile import compile_network
from sterna.compiler.cycle_model import CycleEstimate, model_cycles
from sterna.compiler.fit import FitReport, MemoryUse

__all__ = ["CycleEstimate", "FitReport", "MemoryUse", "compile_network", "model_cycles"]
