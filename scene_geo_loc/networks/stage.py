"""Stages: feature maps of a network and the position of their cells on its input."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Stage:
    """A feature map and the position of its cells on the input, the same along both sides.

    Attributes:
        channels: length of a feature.
        stride: pixels of the input between neighbouring cells.
        offset: pixel of the input, counted from 0, at the centre of the first cell.
        margin: pixels of a side that are too few for one more cell; negative if padding adds a cell.
    """

    channels: int
    stride: int
    offset: float
    margin: int = 0

    def cells(self, pixels: int) -> int:
        """Number of cells along a side of the input with this many pixels."""
        return (pixels - self.margin) // self.stride

    def enlarged(self, factor: int) -> Stage:
        """Returns the stage of an encoder that sees the input at one over `factor` of its size."""
        offset = (self.offset + 0.5) * factor - 0.5
        return replace(self, stride=self.stride * factor, offset=offset, margin=self.margin * factor)
