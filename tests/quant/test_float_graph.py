"""Reading float models: what becomes a layer of its own, and what is refused, by path and kind."""

import re

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sterna.quant import SUPPORTED, Recipe, prepare
from sterna.quant.float_graph import float_layers
from sterna.spec.errors import ModelError
from sterna.spec.network import InputSpec

SPEC = InputSpec(name="input", shape=(4, 4, 2), low=0, high=16, scale=1)
LIST = f"which is not supported; supported: {', '.join(SUPPORTED)}"


class Calls(nn.Module):
    """A module whose forward is a function of a convolution and the images."""

    def __init__(self, function) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)
        self.other = nn.Conv2d(2, 3, 3, padding=1)
        self.constant = nn.Parameter(torch.ones(1))
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def names(model: nn.Module) -> list[str]:
    return [layer.name for layer in float_layers(model, SPEC)[0]]


@pytest.mark.parametrize(
    ("model", "layers"),
    [
        (nn.Linear(32, 3), ["dense0"]),
        (nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2)), ["conv0"]),
        (nn.Sequential(nn.Conv2d(2, 3, 3), nn.MaxPool2d(2), nn.ReLU()), ["conv0"]),
        (nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.BatchNorm2d(3)), ["conv0", "norm1"]),
        (nn.Sequential(nn.BatchNorm2d(2), nn.Conv2d(2, 3, 3)), ["norm0", "conv1"]),
        (nn.Sequential(nn.ReLU(), nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(12, 2)), ["relu0", "conv1", "dense2"]),
        (nn.Sequential(nn.Conv2d(2, 3, 1), nn.MaxPool2d(2), nn.MaxPool2d(2)), ["conv0", "pool1"]),
        (nn.Sequential(nn.Conv2d(2, 3, 1), nn.Hardtanh(), nn.ReLU()), ["conv0"]),
        (nn.Sequential(nn.Conv2d(2, 3, 1), nn.AvgPool2d(2), nn.Identity()), ["conv0", "average1"]),
        (Calls(lambda m, x: m.conv(x) + x), ["conv0"]),
        (Calls(lambda m, x: functional.relu(m.conv(x)) + x), ["conv0", "add1"]),
        (Calls(lambda m, x: torch.cat([m.conv(x), m.other(x)], dim=1)), ["conv0", "conv1", "concat2"]),
        (Calls(lambda m, x: m.conv(x).mean((2, 3))), ["conv0", "average1"]),
        (Calls(lambda m, x: [m.conv(x), m.other(x)]), ["conv0", "conv1"]),
    ],
)
def test_layers_are_fused_where_the_hardware_does_and_stand_alone_elsewhere(model, layers):
    assert names(model) == layers


def test_what_nothing_reads_is_left_out():
    assert names(Calls(lambda m, x: (m.conv(x), m.other(x))[0])) == ["conv0"]


def test_features_are_those_of_torch_whatever_the_order_in_memory():
    """A dense layer over flattened maps of two channels, against torch."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(32, 5))
    prepared = prepare(model, Recipe(), SPEC)
    images = torch.rand(7, 4, 4, 2)
    ((_, layer),) = prepared.named_layers()
    (term,) = layer.terms
    found = term.windows[0].apply(images.permute(0, 3, 1, 2), term.weight)[:, :, 0, 0] + term.bias
    assert torch.allclose(found, model(images.permute(0, 3, 1, 2)), atol=1e-6)


def conv(**changed: object) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(2, 3, **{"kernel_size": 3} | changed))


class OwnConv(nn.Conv2d):
    """A kind of its own, which might compute anything."""


def after(*modules: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(2, 4, 1), *modules)


def branching(m: Calls, x: Tensor) -> Tensor:
    return m.conv(x) if x.sum() > 0 else m.other(x)


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (after(nn.Sequential(nn.Dropout())), f"1.0 is a Dropout, {LIST}"),
        (nn.Bilinear(2, 2, 2), f"0 is a Bilinear, {LIST}"),
        (after(nn.ConvTranspose2d(4, 4, 1)), f"1 is a ConvTranspose2d, {LIST}"),
        (Calls(lambda m, x: torch.sigmoid(m.conv(x))), f"sigmoid is a call of sigmoid, {LIST}"),
        (Calls(lambda m, x: m.conv(x).permute(0, 2, 3, 1)), f"permute is a call of permute, {LIST}"),
        (Calls(lambda m, x: m.conv(x) * m.constant), f"constant is a tensor of the model itself, {LIST}"),
        (after(OwnConv(4, 4, 1)), f"1 is a OwnConv that computes with its own tensor 'weight', {LIST}"),
        (Calls(lambda m, x: m.conv(x) + 1), "add (+) must take a tensor of the model first, not (1,)"),
        (Calls(lambda m, x: torch.add(m.conv(x), x, alpha=2)), "add (+) has the options alpha; supported: none"),
        (Calls(lambda m, x: m.conv(x) + m.other(x)), "add (+) takes tensors of shapes (4, 4, 2) and (4, 4, 3)"),
        (Calls(lambda m, x: m.conv(m.conv(x))), "conv (Conv2d) is used twice; every use needs weights of its own"),
        (Calls(lambda m, x: torch.cat([m.conv(x), x], 2)), "cat (torch.cat) must be over the channels, dim=1"),
        (Calls(lambda m, x: torch.cat([m.conv(x), x.flatten(1)], 1)), "cat (torch.cat) mixes flattened tensors"),
        (
            Calls(lambda m, x: torch.cat([functional.relu(x), m.conv(x).mean((2, 3), keepdim=True)], 1)),
            "cat (torch.cat) takes tensors of different heights or widths",
        ),
        (Calls(lambda m, x: m.conv(x).mean(1)), "mean (mean) must be over both image axes, (2, 3)"),
        (Calls(lambda m, x: {"y": m.conv(x)}), "the model returns a dict; supported: a tensor, or a tuple or"),
        (Calls(branching), "the model's forward cannot be traced: symbolically traced variables cannot be used"),
        (nn.Sequential(nn.Flatten()), "the model has no Linear or Conv2d layer"),
        (nn.Sequential(nn.Linear(32, 4), nn.Linear(5, 4)), "1 (Linear) takes 5 features, but gets 4"),
        (nn.Sequential(nn.Linear(5, 4)), "0 (Linear) takes 5 features, but gets 32"),
        (after(nn.Linear(4, 4)), "1 (Linear) takes features; flatten the 4×4 pixels first"),
        (nn.Sequential(nn.Conv2d(3, 4, 1)), "0 (Conv2d) takes 3 channels, but gets 2"),
        (conv(dilation=2), "0 (Conv2d) has dilation (2, 2) and zeros padding; supported: (1, 1) and zeros"),
        (conv(padding_mode="circular"), "0 (Conv2d) has dilation (1, 1) and circular padding"),
        (conv(kernel_size=5), "0 (Conv2d) has a window of (5, 5), larger than its padded source of (4, 4, 2)"),
        (nn.Sequential(nn.Flatten(), nn.Conv2d(2, 2, 1)), "1 (Conv2d) does not take flattened features"),
        (after(nn.BatchNorm1d(4)), "1 (BatchNorm1d) does not take feature maps"),
        (after(nn.Flatten(), nn.BatchNorm1d(64)), "2 (BatchNorm1d) normalises features by themselves"),
        (after(nn.BatchNorm2d(3)), "1 (BatchNorm2d) must be affine, keep running statistics and have 4 features"),
        (after(nn.BatchNorm2d(4, affine=False)), "1 (BatchNorm2d) must be affine"),
        (after(nn.BatchNorm2d(4, track_running_stats=False)), "1 (BatchNorm2d) must be affine, keep running"),
        (after(nn.Hardtanh(0, 6)), "1 (Hardtanh) reaches from 0 to 6; supported: the same both ways"),
        (after(nn.MaxPool2d(3, 2)), "1 (MaxPool2d) must have its kernel as stride, no padding"),
        (after(nn.MaxPool2d(5)), "1 (MaxPool2d) pools 5×5 of 4×4 pixels"),
        (after(nn.AvgPool2d(2, ceil_mode=True)), "1 (AvgPool2d) must not have ceil_mode or divisor_override"),
        (after(nn.AvgPool2d(3, 1, 1, count_include_pad=False)), "and count its padding"),
        (after(nn.AvgPool2d(5)), "1 (AvgPool2d) has a window of (5, 5), larger than"),
        (after(nn.AdaptiveAvgPool2d(2)), "1 (AdaptiveAvgPool2d) gives 2 pixels; supported: 1"),
        (after(nn.Flatten(2)), "1 (Flatten) must flatten all but the batch"),
    ],
)  # fmt: skip
def test_what_is_not_supported_is_refused_by_name(model, text):
    with pytest.raises(ModelError, match=re.escape(text)):
        prepare(model, Recipe(), SPEC)


def test_a_model_of_two_tensors_is_refused():
    class Two(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return x + y

    with pytest.raises(ModelError, match="the model takes 2 tensors; supported: one"):
        prepare(Two(), Recipe(), SPEC)
