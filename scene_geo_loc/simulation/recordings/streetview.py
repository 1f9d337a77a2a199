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
"""Simulates a set of street-level panoramas with geo-tags and coarse depth (docs/datasets/streetview.md)."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc import __version__
from scene_geo_loc.core.parallel import available_cores, process_pool
from scene_geo_loc.core.progress import ProgressCallback, ignore_progress
from scene_geo_loc.geometry.equirectangular import Equirectangular
from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.simulation.conditions import CONDITIONS
from scene_geo_loc.simulation.recordings.streetview_plan import (
    DepthForm,
    StreetviewSettings,
    Viewpoint,
    image_file,
    tag,
    viewpoints,
)
from scene_geo_loc.simulation.rendering.panorama import PanoramaView, Rosette
from scene_geo_loc.simulation.town.city import City
from scene_geo_loc.simulation.town.coarse import CoarseTown
from scene_geo_loc.traversals.streetview.writer import (
    MAX_PLANES,
    PanoramaSetWriter,
    write_depth_planes,
    write_depth_png,
    write_panorama,
)

_PIECE_M = 250.0
"""Length of the street in metres that is built at a time."""
_DEPTH_SIZE = 512, 256
"""Width and height of the depth maps in pixels."""


@dataclass(frozen=True)
class SetSummary:
    """Size of a set: `kept` of its panoramas existed already."""

    panoramas: int
    kept: int


class _Panoramas:
    """State that the workers share; they inherit it when they are forked."""

    def __init__(self, settings: StreetviewSettings, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        self.city = City(settings.seed)
        self.viewpoints = viewpoints(settings, self.city.plan)
        done = {viewpoint.name for viewpoint in self.viewpoints if self._is_done(viewpoint)}
        self.kept = len(done)
        self.pieces = [
            (span, left)
            for span, piece in _pieces(self.viewpoints)
            if (left := [viewpoint for viewpoint in piece if viewpoint.name not in done])
        ]
        self.done = multiprocessing.get_context("fork").Value("q", self.kept)

    def _depth_file(self, viewpoint: Viewpoint) -> Path | None:
        depth = tag(viewpoint, self.settings, is_true=True).depth
        return None if depth is None else self.folder / depth

    def _is_done(self, viewpoint: Viewpoint) -> bool:
        # The image is written last.
        return (self.folder / image_file(viewpoint.name)).exists()

    def render_piece(self, piece: int) -> None:
        """Builds a piece of the town and writes all panoramas there."""
        settings, ((start, end), wanted) = self.settings, self.pieces[piece]
        condition = CONDITIONS[settings.condition]
        scene = self.city.scene(condition, start, end - start, settings.name, settings.sight)
        rosette = Rosette() if settings.is_stitched else None
        view = PanoramaView(scene, settings.width, settings.width // 2, settings.number, rosette)
        coarse = None
        if settings.depth is not None:
            path = self.city.plan.at(np.arange(start - 10, end + 10, 5.0))
            coarse = CoarseTown(self.city, path)
        for viewpoint in wanted:
            T = viewpoint.T_map_panorama
            if (depth := self._depth_file(viewpoint)) is not None:
                assert coarse is not None
                assert settings.depth is not None
                _write_depth(depth, settings.depth, coarse, T)
            number = viewpoint.stamp_ns // 10**9
            write_panorama(self.folder / image_file(viewpoint.name), view.take(T, number))
            with self.done.get_lock():
                self.done.value += 1


def _pieces(places: list[Viewpoint]) -> Iterator[tuple[tuple[float, float], list[Viewpoint]]]:
    """Yields pieces of the street, as start and end along the loop in metres, and the viewpoints of each."""
    first = min(viewpoint.along for viewpoint in places)
    numbers = [int((viewpoint.along - first) / _PIECE_M) for viewpoint in places]
    for number in sorted(set(numbers)):
        piece = [viewpoint for viewpoint, own in zip(places, numbers, strict=True) if own == number]
        along = [viewpoint.along for viewpoint in piece]
        yield (min(along), max(along)), piece


def _write_depth(path: Path, form: DepthForm, coarse: CoarseTown, T_map_panorama: Pose) -> None:
    width, height = _DEPTH_SIZE
    rays = _rays(width, height)
    R = T_map_panorama[:3, :3]
    seen = coarse.seen(T_map_panorama[:3, 3], rays @ R.T)
    if form is DepthForm.PNG:
        write_depth_png(path, seen.distance(rays @ R.T).reshape(height, width))
        return
    planes, index = seen.largest(MAX_PLANES)
    write_depth_planes(path, np.column_stack([planes[:, :3] @ R, planes[:, 3]]), index.reshape(height, width))


def _rays(width: int, height: int) -> NDArray[np.float64]:
    """Returns the directions (H * W, 3) of all pixels of a panorama."""
    u, v = np.meshgrid(np.arange(width), np.arange(height))
    return Equirectangular(width, height).rays(np.stack([u.ravel(), v.ravel()], 1))


def simulate_streetview(
    out: Path,
    settings: StreetviewSettings | None = None,
    *,
    workers: int | None = None,
    on_progress: ProgressCallback = ignore_progress,
) -> SetSummary:
    """Simulates a set of panoramas at `out`; the same settings give the same files.

    A later call with the same settings continues an interrupted one: finished panoramas are kept.

    Args:
        workers: processes, each with a piece of the town; None for one per core.
        on_progress: receives the panoramas done and their total, every half second.

    Raises SceneGeoLocError where `out` exists, cannot be written, or was begun with other settings.
    """
    settings = settings or StreetviewSettings()
    writer = PanoramaSetWriter(out, {"version": __version__, **asdict(settings)})
    writer.begin()
    try:
        panoramas = _Panoramas(settings, writer.folder)
        for folder in ("images", "depth") if settings.depth else ("images",):
            (writer.folder / folder).mkdir(exist_ok=True)
        _render(panoramas, workers or available_cores(), on_progress)
        writer.publish(
            [tag(viewpoint, settings) for viewpoint in panoramas.viewpoints],
            [tag(viewpoint, settings, is_true=True) for viewpoint in panoramas.viewpoints],
            settings.datum,
        )
    finally:
        writer.release()
    return SetSummary(len(panoramas.viewpoints), panoramas.kept)


_panoramas: _Panoramas | None = None
"""Panoramas that forked workers inherit."""


def _render(panoramas: _Panoramas, workers: int, on_progress: ProgressCallback) -> None:
    global _panoramas
    total = len(panoramas.viewpoints)
    on_progress(panoramas.done.value, total)
    if not panoramas.pieces:
        return
    _panoramas = panoramas
    try:
        with process_pool(min(workers, len(panoramas.pieces)), "fork") as pool:
            waiting = {pool.submit(_render_piece, piece) for piece in range(len(panoramas.pieces))}
            while waiting:
                done, waiting = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
                on_progress(panoramas.done.value, total)
                for future in done:
                    future.result()
    finally:
        _panoramas = None


def _render_piece(piece: int) -> None:
    assert _panoramas is not None
    _panoramas.render_piece(piece)
