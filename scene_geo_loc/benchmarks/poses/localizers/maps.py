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

"""Maps of the localizers that a benchmark compares: trained for it, or made before."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from scene_geo_loc import __version__
from scene_geo_loc.core.atomic import write_json
from scene_geo_loc.core.progress import ProgressCallback, ProgressDisplay
from scene_geo_loc.localization.pose_localizer import PoseLocalizer, open_localizer
from scene_geo_loc.mapping.map_info import read_info
from scene_geo_loc.training.localizers import family_of
from scene_geo_loc.traversals.frame import Frame, PassOver, PassOverScan, Scan, Traversal, read_all
from scene_geo_loc.traversals.skipped import Skipped

KEYFRAMES_AND_PNLP = "retrieval"
"""Name of the row of the package's own localizer, with its default settings."""


@dataclass(frozen=True)
class LocalizerMap:
    """Map of a localizer in a benchmark.

    Attributes:
        name: name of its system, or of the folder of a map that was made before.
        folder: of the map.
        images: number of images that it was made of; None where that is not recorded.
        minutes: time to make it; None where it was made before.
    """

    name: str
    folder: Path
    images: int | None = None
    minutes: float | None = None

    @classmethod
    def made_before(cls, folder: Path) -> LocalizerMap:
        """Returns the map of a folder. Raises MapError where it is none."""
        system = read_info(folder).settings.get("system", "")
        return cls(f"{folder.name} ({system})" if system else folder.name, folder)

    def open(self, device: str) -> PoseLocalizer:
        """Opens the localizer of the map. Raises SceneGeoLocError."""
        return open_localizer(self.folder, device=device)


@dataclass
class Thinned:
    """A traversal reduced to every n-th of its frames, for maps of fewer images."""

    traversal: Traversal
    every: int
    name: str = field(init=False)
    map_frame: str = field(init=False)

    def __post_init__(self) -> None:
        self.name, self.map_frame = self.traversal.name, self.traversal.map_frame

    @property
    def skipped(self) -> Skipped:
        """Counts of the items that the traversal left out, by reason."""
        return self.traversal.skipped

    def __len__(self) -> int:
        return -(-len(self.traversal) // self.every)

    def frames(self, pass_over: PassOver = read_all) -> Iterator[Frame]:
        """Yields every n-th frame."""
        number = count()
        return self.traversal.frames(
            lambda stamp_ns, T: next(number) % self.every != 0 or pass_over(stamp_ns, T)
        )

    def scans(self, pass_over: PassOverScan = read_all) -> Iterator[Scan]:
        """Yields the scans."""
        return self.traversal.scans(pass_over)


def thinned(traversal: Traversal, images: int | None) -> Traversal:
    """Returns a traversal reduced to about a number of frames, evenly spread; None: all of them."""
    every = 1 if images is None else max(1, round(len(traversal) / images))
    return traversal if every == 1 else Thinned(traversal, every)


def train_map(
    traversal: Traversal,
    system: str,
    cache: Path,
    origin: dict[str, Any],
    device: str,
    show: ProgressDisplay,
) -> LocalizerMap:
    """Returns the map of a system with its default settings, from the cache if it is there.

    Args:
        traversal: images of the place.
        system: name of the system.
        cache: folder of the maps; a training that was interrupted is resumed there.
        origin: the inputs of the map, which its name in the cache follows from.
        device: a torch device, or "auto".
        show: displays progress.

    Raises SceneGeoLocError where the images do not suffice for the system.
    """
    family = family_of(system)
    protocol = family.protocol()
    inputs = {
        **origin,
        "system": system,
        "protocol": protocol.model_dump(mode="json"),
        "frames": len(traversal),
        "version": __version__,
    }
    key = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16]
    out = cache / f"{system}_{key}"
    if not out.is_dir():
        with timed_making(out):
            family.train(
                traversal,
                out,
                system,
                protocol,
                device=device,
                overwrite=False,
                callback=_Progress(system, show),
            )
    return LocalizerMap(system, out, len(traversal), minutes_of(out))


@contextmanager
def timed_making(folder: Path) -> Iterator[None]:
    """Writes the time that making a map takes beside it."""
    begin = time.monotonic()
    yield
    write_json(_cost_of(folder), {"minutes": (time.monotonic() - begin) / 60})


def minutes_of(folder: Path) -> float | None:
    """Returns the time that making a map took, or None if it is not written beside it."""
    cost = _cost_of(folder)
    return float(json.loads(cost.read_text())["minutes"]) if cost.is_file() else None


def _cost_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.cost.json")


class _Progress:
    """Shows the steps of a training over all images; a `RunCallback`."""

    def __init__(self, system: str, show: ProgressDisplay) -> None:
        self._system, self._show = system, show

    def packing(self, title: str) -> AbstractContextManager[ProgressCallback]:
        """See `RunCallback.packing`."""
        return self._show(f"{self._system}: {title}", "images")

    def on_stage(self, name: str) -> None:
        """See `RunCallback.on_stage`."""

    def on_batch(self, epoch: int, done: int, total: int, losses: dict[str, float]) -> None:
        """See `TrainingCallback.on_batch`."""

    def on_epoch(self, record: dict[str, Any]) -> None:
        """See `TrainingCallback.on_epoch`."""
