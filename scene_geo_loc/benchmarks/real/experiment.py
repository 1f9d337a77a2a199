# Copyright 2026 The scene_geo_loc authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""An experiment, which is what the run asks of a set that was found, and the tools that it gets for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from scene_geo_loc.benchmarks.real.results import Kind, Part
from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.core.progress import ProgressDisplay, no_display

MIN_QUERIES = 10
"""Fewest queries or pairs that are scored: of fewer a share says nothing."""


@dataclass(frozen=True)
class Tools:
    """The folders, network and device that experiments run with.

    Attributes:
        scratch: folder for files that are not kept.
        poses: folder for poses files that others score, or None.
        network: checkpoint, or None for the package's network.
        device: "auto", "cpu" or "cuda", see `Extractor`.
        show: displays progress.
    """

    scratch: Path
    poses: Path | None = None
    network: Path | None = None
    device: str = "auto"
    show: ProgressDisplay = no_display


class Experiment(Protocol):
    """A set in a folder, ready to be scored."""

    @property
    def kind(self) -> Kind:
        """Which numbers it has."""
        ...

    def methods(self, matchers: Sequence[str]) -> list[str]:
        """Returns the methods to compare, of these matchers."""
        ...

    def run(self, method: str, tools: Tools) -> list[Part]:
        """Returns the numbers of a method.

        Raises SceneGeoLocError where files cannot be read, or nothing can be scored.
        """
        ...


def check_count(count: int, unit: str, folder: Path) -> None:
    """Raises SceneGeoLocError where there are fewer queries or pairs than `MIN_QUERIES`."""
    if count < MIN_QUERIES:
        raise SceneGeoLocError(f"{folder}: {count} {unit} < {MIN_QUERIES}: too few to score.")
