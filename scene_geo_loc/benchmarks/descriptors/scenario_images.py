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

"""Images of the scenarios, decoded once for all systems and resized to the input size of each.

The files are memory-mapped, so that memory does not grow with the number of images or systems.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.atomic import write_json, written_aside
from scene_geo_loc.core.errors import SceneGeoLocError, TraversalError
from scene_geo_loc.core.parallel import available_cores, in_order
from scene_geo_loc.core.progress import ProgressCallback, ignore_progress
from scene_geo_loc.networks.runtime.image_descriptors import UNREADABLE
from scene_geo_loc.places.scenarios import Scenario
from scene_geo_loc.places.views import View
from scene_geo_loc.traversals.skipped import Skipped

Image = NDArray[np.uint8]
Size = tuple[int, int]
"""Width and height in pixels."""


@dataclass(frozen=True)
class ScenarioViews:
    """Readable views of a scenario, the same for all systems.

    Attributes:
        name: name of the scenario.
        references, queries: the R and Q views.
        reference_rows, query_rows: (R,) and (Q,) rows of their images in `ScenarioImages`.
        skipped: number of views left out, by reason.
    """

    name: str
    references: Sequence[View]
    queries: Sequence[View]
    reference_rows: NDArray[np.int64]
    query_rows: NDArray[np.int64]
    skipped: Skipped


@dataclass(frozen=True)
class ScenarioImages:
    """Images of all scenarios as arrays on disk, one file per size.

    Attributes:
        digest: digest of the image files, their positions and scenarios; equal for the same images.
        scenarios: the readable views of each scenario.
        files: .npy file of each size, an array (N, H, W, 3) of uint8.
    """

    digest: str
    scenarios: Sequence[ScenarioViews]
    files: dict[Size, Path]

    def open(self, size: Size) -> NDArray[np.uint8]:
        """Returns the RGB images (N, H, W, 3) of a size, memory-mapped."""
        return np.load(self.files[size], mmap_mode="r", allow_pickle=False)

    def rows(self) -> NDArray[np.int64]:
        """Returns the rows that scenarios need, each once, in ascending order."""
        needed = [rows for views in self.scenarios for rows in (views.reference_rows, views.query_rows)]
        return np.unique(np.concatenate(needed))


def pack_images(
    scenarios: Sequence[Scenario],
    sizes: Sequence[Size],
    folder: Path,
    on_progress: ProgressCallback = ignore_progress,
) -> ScenarioImages:
    """Reads all images once and writes them resized to each size; files already in the folder are used again.

    Raises SceneGeoLocError if the folder cannot be written, or if no reference or no query of a scenario can
    be read.
    """
    views = list({view.files.image: view for s in scenarios for view in (*s.references, *s.queries)}.values())
    digest = _digest(scenarios)
    files = {size: folder / f"images_{digest[:16]}_{size[0]}x{size[1]}.npy" for size in sizes}
    missing = {size: file for size, file in files.items() if not file.is_file()}
    unreadable_file = folder / f"images_{digest[:16]}_unreadable.json"
    if missing or not unreadable_file.is_file():
        write_json(unreadable_file, _pack(views, missing, on_progress))
    unreadable = frozenset(json.loads(unreadable_file.read_text()))
    row_of = {view.files.image: row for row, view in enumerate(views) if row not in unreadable}
    return ScenarioImages(digest, [_readable(scenario, row_of) for scenario in scenarios], files)


def _pack(views: Sequence[View], files: dict[Size, Path], on_progress: ProgressCallback) -> list[int]:
    """Writes the images and returns the rows that cannot be read; these are black."""
    unreadable = []

    def squash(view: View) -> list[Image] | None:
        try:
            image = view.read()
        except TraversalError:
            return None
        return [np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8) for size in files]

    with ExitStack() as stack:
        outputs: list[BinaryIO] = []
        for (width, height), file in files.items():
            outputs.append(stack.enter_context(stack.enter_context(written_aside(file)).open("wb")))
            shape = (len(views), height, width, 3)
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(outputs[-1], header)
        pool = stack.enter_context(ThreadPoolExecutor(available_cores()))
        on_progress(0, len(views))
        for row, images in enumerate(in_order(pool, squash, views, 4 * available_cores())):
            if images is None:
                unreadable.append(row)
                images = [np.zeros((height, width, 3), np.uint8) for width, height in files]
            for output, image in zip(outputs, images, strict=True):
                output.write(image.tobytes())
            on_progress(row + 1, len(views))
    return unreadable


def _readable(scenario: Scenario, row_of: dict[Path, int]) -> ScenarioViews:
    skipped = Skipped(dict(scenario.skipped.counts))

    def keep(views: Sequence[View]) -> tuple[list[View], NDArray[np.int64]]:
        kept = [view for view in views if view.files.image in row_of]
        if not kept:
            raise SceneGeoLocError(
                f"None of the {len(views)} images of run {views[0].run} can be read: check its files."
            )
        if len(kept) < len(views):
            skipped.add(UNREADABLE, len(views) - len(kept))
        return kept, np.array([row_of[view.files.image] for view in kept], np.int64)

    references, reference_rows = keep(scenario.references)
    queries, query_rows = keep(scenario.queries)
    return ScenarioViews(scenario.name, references, queries, reference_rows, query_rows, skipped)


def _digest(scenarios: Sequence[Scenario]) -> str:
    total = hashlib.sha256()
    for line in _lines(scenarios):
        total.update(json.dumps(line).encode())
    return total.hexdigest()


def _lines(scenarios: Sequence[Scenario]) -> Iterator[list[str | int | float]]:
    for scenario in scenarios:
        for part, views in (("references", scenario.references), ("queries", scenario.queries)):
            for view in views:
                path = view.files.image
                try:
                    stat = path.stat()
                    state = [stat.st_size, stat.st_mtime_ns]
                except OSError:
                    state = []
                yield [scenario.name, part, str(path.resolve()), *view.position.tolist(), *state]
