"""From when on training sees what hardware does."""

from sterna.train.presets import Preset
from sterna.train.text_presets import TextPreset


def snapping(preset: Preset | TextPreset) -> int:
    """The first epoch of the quantised phase that does: never the very first, which sets the activations' steps."""
    return max(1, round(preset.snap_from * preset.quantised_phase.epochs))
