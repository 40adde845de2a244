"""Models that a host runs in NumPy, with their linear layers on a device: a transformer over bytes.

    import sterna
    from sterna.host import load_transformer
    network = sterna.load("text.safetensors")
    model = load_transformer("text.host.safetensors", network)
    with sterna.open("sim:icebreaker") as device:
        device.load(network)
        text = model.generate(b"Once", 20, device.linear)
    assert text == model.generate(b"Once", 20, network.linear)

``device.linear`` and golden's ``network.linear`` give the same integers, everything else is the same code: so the same
floats, bit for bit, on the same machine.
"""

from sterna.host.host_file import load_transformer, save_transformer
from sterna.host.shape import LinearLayer, TransformerShape
from sterna.host.transformer import Linear, Transformer

__all__ = ["Linear", "LinearLayer", "Transformer", "TransformerShape", "load_transformer", "save_transformer"]
