"""The torch device that trains or measures."""

from __future__ import annotations

import torch


def choose_device(name: str) -> torch.device:
    """Returns the torch device of this name; "auto" is a GPU if there is one, else the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)
