"""Sterna: ternary neural networks on small FPGAs.

    import sterna
    net = sterna.load("digits.safetensors")
    with sterna.open("sim:icebreaker") as device:
        device.load(net)
        logits = device.infer(images)
    assert (logits == net.predict(images)).all()

The package lies over three roots: ``sw`` (this one), ``hw`` (gateware) and ``sim`` (benches and the Verilated device).
Only this file makes names available at the top; everything it names is imported when first used, so that the driver
works without torch and without the hardware tools.
"""

from importlib import import_module
from pkgutil import extend_path
from typing import TYPE_CHECKING, Any

__path__ = extend_path(__path__, __name__)  # hw/sterna and sim/sterna add their subpackages

if TYPE_CHECKING:
    from sterna.driver import open_device as open
    from sterna.golden import load
    from sterna.quant import export
    from sterna.spec.errors import SternaError

__all__ = ["SternaError", "export", "load", "open"]

_LAZY = {
    "SternaError": ("sterna.spec.errors", "SternaError"),
    "export": ("sterna.quant", "export"),
    "load": ("sterna.golden", "load"),
    "open": ("sterna.driver", "open_device"),
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        module, attribute = _LAZY[name]
        return getattr(import_module(module), attribute)
    raise AttributeError(f"module 'sterna' has no attribute {name!r}")
