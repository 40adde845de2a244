"""Turns a float model into a quantised one: groups its layers and copies their parameters."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from sterna.quant.layers import QuantisedLinear
from sterna.quant.model import QuantisedModel
from sterna.quant.recipe import Recipe
from sterna.spec.errors import ModelError
from sterna.spec.network import InputSpec

SUPPORTED = ("Sequential", "Flatten", "Linear", "BatchNorm1d", "ReLU")


@dataclass
class _Group:
    name: str
    linear: nn.Linear
    norm: nn.BatchNorm1d | None = None
    relu: bool = False


def _leaves(model: nn.Module, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    if type(model) is not nn.Sequential:
        yield path or "the model", model
        return
    for name, child in model.named_children():
        yield from _leaves(child, f"{path}.{name}" if path else name)


def _groups(model: nn.Module) -> list[_Group]:
    groups: list[_Group] = []
    for path, module in _leaves(model):
        last = groups[-1] if groups else None
        if type(module) is nn.Linear:
            if last is not None and last.linear.out_features != module.in_features:
                raise ModelError(f"{path} takes {module.in_features} features, but gets {last.linear.out_features}")
            groups.append(_Group(f"dense{len(groups)}", module))
        elif type(module) is nn.BatchNorm1d:
            if last is None or last.norm is not None or last.relu:
                raise ModelError(f"{path} (BatchNorm1d) must follow a Linear directly")
            features = last.linear.out_features
            if not (module.affine and module.track_running_stats and module.num_features == features):
                raise ModelError(
                    f"{path} (BatchNorm1d) must be affine, keep running statistics and have {features} features"
                )
            last.norm = module
        elif type(module) is nn.ReLU:
            if last is None or last.relu:
                raise ModelError(f"{path} (ReLU) must follow a Linear or a BatchNorm1d")
            last.relu = True
        elif type(module) is nn.Flatten:
            if last is not None or (module.start_dim, module.end_dim) != (1, -1):
                raise ModelError(f"{path} (Flatten) must come first and flatten all but the batch")
        else:
            kind = type(module).__name__
            raise ModelError(f"{path} is a {kind}, which is not supported; supported: {', '.join(SUPPORTED)}")
    if not groups:
        raise ModelError("the model has no Linear layer")
    return groups


def prepare(model: nn.Module, recipe: Recipe, input: InputSpec) -> QuantisedModel:
    """A quantised copy of a float model.

    ``model``: Linear layers, each with an optional BatchNorm1d and then an optional ReLU, in (nested) Sequentials, an
    optional Flatten first. ``input``: how its images become integers, for instance ``dataset.input``.
    Returns a model in training mode, unpruned, its activation steps to be set by the first training batch.
    Raises :class:`ModelError` for any other layer, by name and kind, and for an input of another size.
    """
    groups = _groups(model)
    height, width, channels = input.shape
    if height * width * channels != groups[0].linear.in_features:
        taken = groups[0].linear.in_features
        raise ModelError(f"input has shape {input.shape}, but the first layer takes {taken} features")
    layers = {
        group.name: QuantisedLinear(
            group.linear, group.norm, relu=group.relu, layer=recipe.of_layer(index, len(groups)), recipe=recipe
        )
        for index, group in enumerate(groups)
    }
    return QuantisedModel(input, layers).train()
