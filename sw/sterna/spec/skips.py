"""Which zeros a compiled network skips."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Skips:
    """The two zero-skips that take fewer cycles; without one, an image shows on the same device what that saves.

    Results are the same with each. Where activations have masks, zeros around the tensors of layers are never issued.
    """

    activations: bool = True
    """Activations that are zero are not issued; a configuration without ``activation_skip`` issues them in any case."""
    blocks: bool = True
    """All-zero weight blocks are neither stored nor issued."""

    def __str__(self) -> str:
        names = {(True, True): "both skips", (True, False): "activation skip", (False, True): "block skip"}
        return names.get((self.activations, self.blocks), "no skip")


ALL_SKIPS = Skips()
NO_SKIPS = Skips(activations=False, blocks=False)
SKIPS = (ALL_SKIPS, Skips(activations=False), Skips(blocks=False), NO_SKIPS)
"""Every combination."""
