"""Quantisers by the names that recipes give."""

from collections.abc import Callable

from sterna.quant.binary import Binary
from sterna.quant.bitnet import BitNet
from sterna.quant.digits import Digits
from sterna.quant.gxnor import Gxnor
from sterna.quant.lsq import LearnedStep
from sterna.quant.power_of_three import PowerOfThree
from sterna.quant.ttq import Ttq
from sterna.quant.twn import Twn
from sterna.quant.weights import WeightQuantiser

WEIGHT_QUANTISERS: dict[str, Callable[[], WeightQuantiser]] = {
    "twn": Twn,
    "twn-layer": lambda: Twn(per_layer=True),
    "bitnet": BitNet,
    "ttq": Ttq,
    "binary": Binary,
    "power-of-three": PowerOfThree,
    "digits1": lambda: Digits(1),
    "digits2": lambda: Digits(2),
    "digits3": lambda: Digits(3),
    "digits4": lambda: Digits(4),
    "digits5": lambda: Digits(5),
    "int4": lambda: Digits(3, highest=7),
}

ACTIVATION_QUANTISERS: dict[str, type[LearnedStep]] = {"lsq": LearnedStep, "gxnor": Gxnor}
