"""A window over one source tensor: the geometry that a float convolution, its planes and its arithmetic share."""

from dataclasses import dataclass
from math import prod

from torch import Tensor
from torch.nn import functional

from sterna.spec.network import Shape


@dataclass(frozen=True, kw_only=True)
class Window:
    """What a plane says about its geometry, see :class:`sterna.spec.network.Plane`."""

    source: str
    """Name of the tensor it reads."""
    shape: Shape
    """Shape of the source: height, width, channels."""
    out: int
    """Output channels."""
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Top, bottom, left, right."""
    groups: int = 1

    @property
    def inputs(self) -> int:
        """Channels that an output reads."""
        return self.shape[2] // self.groups

    @property
    def positions(self) -> int:
        """Weights of an output."""
        return prod(self.kernel) * self.inputs

    @property
    def extent(self) -> tuple[int, int]:
        """Height and width of what it gives; below 1 where the window does not fit."""
        top, bottom, left, right = self.padding
        return (
            (self.shape[0] + top + bottom - self.kernel[0]) // self.stride[0] + 1,
            (self.shape[1] + left + right - self.kernel[1]) // self.stride[1] + 1,
        )

    def apply(self, x: Tensor, weight: Tensor) -> Tensor:
        """Convolves.

        ``x``: (n, channels, height, width) of the source. ``weight``: (out, positions), channel-last; the same dtype.
        Returns (n, out, height, width).
        """
        top, bottom, left, right = self.padding
        padded = any(self.padding)
        if self.kernel == self.shape[:2] and self.groups == 1 and not padded:
            return functional.linear(x.permute(0, 2, 3, 1).flatten(1), weight)[:, :, None, None]
        if self.kernel == (1, 1) and self.groups == self.out == self.shape[2] and not padded:
            return x[:, :, :: self.stride[0], :: self.stride[1]] * weight[:, :, None]
        kernel = weight.reshape(self.out, *self.kernel, self.inputs).permute(0, 3, 1, 2)
        if (top, left) != (bottom, right):
            x = functional.pad(x, (left, right, top, bottom))
            top = left = 0
        return functional.conv2d(x, kernel, stride=self.stride, padding=(top, left), groups=self.groups)
