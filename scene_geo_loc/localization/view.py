"""What an image alone tells of where it was taken, and how long each step took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.localization.estimate import Candidate, Matches
from scene_geo_loc.localization.pnp import ideal_pixels


class Stopwatch:
    """Milliseconds by step, and their "total"."""

    def __init__(self) -> None:
        self.times_ms: dict[str, float] = {"total": 0.0}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Times what is done inside."""
        start = time.perf_counter()
        yield
        self.times_ms[name] = (time.perf_counter() - start) * 1e3
        self.times_ms["total"] += self.times_ms[name]


@dataclass
class View:
    """What an image alone tells of where it was taken.

    Attributes:
        camera: of the network's input.
        candidates: the retrieved keyframes, those first that most speaks for.
        matches: with the first of them, in pixels of the network's input.
        blocks: how many blocks of the image have local features.
        reason: one sentence why there are no matches to solve; empty where there may be.
        stopwatch: the time of each step.
    """

    camera: Camera
    candidates: list[Candidate] = field(default_factory=list)
    matches: Matches = field(default_factory=Matches.none)
    blocks: int = 0
    reason: str = ""
    stopwatch: Stopwatch = field(default_factory=Stopwatch)

    @cached_property
    def pixels(self) -> NDArray[np.float64]:
        """The matches' pixels (M, 2) in the query, without the lens's distortion."""
        return ideal_pixels(self.camera, self.matches.query_pixels)
