"""Training: presets, and ``train``, which takes one from a seed to the integer network.

    from sterna.train import train
    result = train("digits-mlp", seed=0)
    result.integer_accuracy         # held-out accuracy, 0…1
    result.network                  # sterna.spec.network.IntegerNetwork

A preset is plain values; ``dataclasses.replace`` makes another one of it.
"""

from sterna.train.augment import Augmentation
from sterna.train.phases import DivergedError
from sterna.train.presets import PRESETS, Phase, Preset, preset_named
from sterna.train.progress import MetricsFile, Progress
from sterna.train.topologies import Autoencoder, ByteTransformer, Cnn, DsCnn, Mlp, ResNet8, Topology
from sterna.train.training import TrainResult, held_out_accuracy, train
from sterna.train.transformer import QuantisedTransformer, export_transformer, prepare_transformer

__all__ = [
    "PRESETS",
    "Augmentation",
    "Autoencoder",
    "ByteTransformer",
    "Cnn",
    "DivergedError",
    "DsCnn",
    "MetricsFile",
    "Mlp",
    "Phase",
    "Preset",
    "Progress",
    "QuantisedTransformer",
    "ResNet8",
    "Topology",
    "TrainResult",
    "export_transformer",
    "held_out_accuracy",
    "prepare_transformer",
    "preset_named",
    "train",
]
