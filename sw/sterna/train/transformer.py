"""The quantised transformer: linear layers trained as a device computes them, everything else real.

    from sterna.train import ByteTransformer, export_transformer, prepare_transformer
    model = prepare_transformer(ByteTransformer(width=64, heads=4, blocks=2, context=64).build(), Recipe())
    ...                                              # train it like any torch module, on bytes (n, t)
    network, host, report = export_transformer(model.eval(), name="text")

Before tokens are quantised they are scaled such that their largest magnitude is the largest integer, and afterwards
scaled back, see :mod:`sterna.host.transformer`. The gradient passes as if nothing were rounded.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sterna.host import LinearLayer, Transformer
from sterna.host.shape import INPUT
from sterna.host.transformer import LEVEL, SMALLEST
from sterna.quant import ExportReport, QuantisedModel, Recipe, export_network
from sterna.quant.estimator import round_half_up, round_through
from sterna.quant.layers import FloatLayer, FloatTerm, Signal
from sterna.quant.prepare import quantised
from sterna.quant.window import Window
from sterna.spec.model_file import network_digest
from sterna.spec.network import InputSpec, IntegerNetwork
from sterna.train.topologies.transformer import FloatTransformer, TransformerModule


class QuantisedTransformer(TransformerModule):
    """Made by :func:`prepare_transformer`. In evaluation mode its linear layers are exact integers."""

    def __init__(self, model: FloatTransformer, recipe: Recipe) -> None:
        super().__init__(model.shape)
        self.load_state_dict(model.state_dict(), strict=False)
        layers = [
            FloatLayer(
                name=layer.name, terms=(_term(layer, model.linears[layer.name]),), relu=layer.relu, clamp=math.inf,
                pool=(1, 1),
            )
            for layer in model.shape.linears
        ]  # fmt: skip
        spec = InputSpec(name=INPUT, shape=(1, 1, model.shape.width), low=-LEVEL, high=LEVEL, scale=1.0)
        self.core: QuantisedModel = quantised(layers, (layers[-1].name,), recipe, spec)
        """Its linear layers. Only :meth:`QuantisedModel.linear` and export are of use: they are no chain."""

    def prune(self, progress: float) -> None:
        """Prunes every linear layer along the schedule of its target density; ``progress`` 0…1."""
        self.core.prune(progress)

    def snap(self, exact: bool = True) -> None:
        """Whether training sees exactly what the linear layers give on hardware: :meth:`QuantisedModel.snap`."""
        self.core.snap(exact)

    def linear(self, x: Tensor, *names: str) -> Tensor:
        layers = dict(self.core.named_layers())
        scale = x.detach().abs().amax(1, keepdim=True).clamp(min=SMALLEST) / LEVEL
        # Of a step of one, so that integers and real values are the same.
        integers = round_through(x / scale) if self.training else round_half_up(x / scale).double()
        step = torch.ones((), dtype=integers.dtype, device=x.device)
        signal = Signal(integers[:, :, None, None], step, -LEVEL, LEVEL, exact=not self.training)
        source = INPUT
        for name in names:
            signal, source = layers[name]({source: signal}), name
        return signal.real[:, :, 0, 0].to(x.dtype) * scale


def _term(layer: LinearLayer, module: nn.Module) -> FloatTerm:
    assert isinstance(module, nn.Linear)
    window = Window(source=layer.source, shape=(1, 1, layer.inputs), out=layer.outputs, kernel=(1, 1))
    return FloatTerm(windows=(window,), weight=module.weight)


def prepare_transformer(model: FloatTransformer, recipe: Recipe) -> QuantisedTransformer:
    """A quantised copy of a float transformer, in training mode.

    Recipes go by the layers' names: ``qkv0``, ``out0``, ``up0``, ``down0``, …, ``head``.
    """
    return QuantisedTransformer(model, recipe).train()


def export_transformer(
    model: QuantisedTransformer, *, name: str, metadata: Mapping[str, Any] | None = None
) -> tuple[IntegerNetwork, Transformer, ExportReport]:
    """The linear layers as one integer network, the rest for the host, and the report of the conversion.

    The network's layers read its input or each other; they are run one by one (``device.linear``, ``network.linear``),
    never as a whole. Raises :class:`ModelError` for what cannot be converted.
    """
    network, report = export_network(model.core, name=name, metadata=metadata)
    layers = dict(model.core.named_layers())

    def array(values: Tensor) -> npt.NDArray[np.float32]:
        return values.detach().numpy().astype(np.float32)

    host = Transformer(
        shape=model.shape,
        embedding=array(model.embedding),
        positions=array(model.positions),
        gains=array(model.gains),
        steps=np.array([float(layers[result].activation.step.detach()) for result in model.shape.results]),
        network=network_digest(network),
    )
    return network, host, report
