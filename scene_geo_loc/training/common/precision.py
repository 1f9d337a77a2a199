"""The numbers that networks are trained in."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


class Precision(str, Enum):
    """What convolutions and matrix products are computed in; weights and losses are always float32."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    """About twice as fast where the processor has it."""

    def autocast(self, device: torch.device) -> torch.autocast:
        """The context that forward passes run in."""
        import torch

        return torch.autocast(device.type, torch.bfloat16, enabled=self is Precision.BFLOAT16)
