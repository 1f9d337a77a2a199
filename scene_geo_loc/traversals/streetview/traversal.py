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

"""Traversal of a set of panoramas: each becomes rectified views around, with pose, camera and depth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.core.parallel import ReadAhead
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.datum import Georeference
from scene_geo_loc.geometry.equirectangular import R_panorama_view, heading_of
from scene_geo_loc.geometry.pose import Pose, make_pose
from scene_geo_loc.traversals.formats import Content, Format
from scene_geo_loc.traversals.frame import Frame, PassOver, PassOverScan, Scan, read_all
from scene_geo_loc.traversals.skipped import Skipped, SkipReason
from scene_geo_loc.traversals.streetview.image_file import TooLarge
from scene_geo_loc.traversals.streetview.index import CSV_NAME, GEOJSON_NAME, index_file, read_index
from scene_geo_loc.traversals.streetview.metadata.photos import has_panoramas, read_photos
from scene_geo_loc.traversals.streetview.panorama import (
    Incomplete,
    Panorama,
    PanoramaPixels,
    read_distance,
    read_panorama_image,
)
from scene_geo_loc.traversals.streetview.placement import place
from scene_geo_loc.traversals.streetview.rectified import (
    DEFAULT_VIEW_CAMERA,
    Rectifier,
    default_view_count,
    panorama_width,
    view_camera_of,
    view_directions,
)
from scene_geo_loc.traversals.streetview.virtual_views import (
    Viewer,
    VirtualPosition,
    VirtualSummary,
    distances_of,
    summarize_virtual_views,
    virtual_positions,
)
from scene_geo_loc.traversals.subset import WHOLE, Subset

_READERS = 1
"""Threads that decode panoramas ahead of their use: one in memory at a time, as it may take 600 MB."""


LEAST_VISIBLE = 0.5
"""Views of which a cropped panorama shows a smaller share are left out."""


_IMAGE_REASONS = {
    TooLarge: SkipReason.PANORAMA_TOO_LARGE,
    Incomplete: SkipReason.PANORAMA_INCOMPLETE,
    TraversalError: SkipReason.IMAGE_UNREADABLE,
}
_DEPTH_REASONS = {
    TooLarge: SkipReason.DEPTH_TOO_LARGE,
    Incomplete: SkipReason.DEPTH_INCOMPLETE,
    TraversalError: SkipReason.DEPTH_UNREADABLE,
}
"""Reasons why an image or a depth map is left out, by the error of its reader, special ones first."""


@dataclass(frozen=True)
class View:
    """A view to take of a panorama.

    Attributes:
        stamp_ns: the panorama's time plus the number of the view.
        heading_deg, pitch_deg: direction relative to the panorama's axes.
        T_map_camera: pose of its optical axes.
        position: where a virtual view is taken from; None for the panorama itself.
    """

    stamp_ns: int
    heading_deg: float
    pitch_deg: float
    T_map_camera: Pose
    position: VirtualPosition | None = None

    @property
    def R_panorama_view(self) -> NDArray[np.float64]:
        """Rotation (3, 3) from the view's optical axes to the panorama's."""
        return R_panorama_view(self.heading_deg, self.pitch_deg)


@dataclass
class StreetViewTraversal:
    """Rectified views of panoramas; see `scene_geo_loc.traversals.frame.Traversal`.

    Attributes:
        name: folder of the set.
        panoramas: in order of time.
        camera: camera of the views.
        directions: headings and pitches of the views in degrees, relative to the panorama's axes.
        georeference: place of the map on the Earth.
        left_out: rows that the reader left out when it opened the set.
        chosen: the views to take.
        virtual_m: distances in metres of virtual views ahead and behind.
    """

    name: str
    panoramas: Sequence[Panorama]
    camera: Camera
    directions: Sequence[tuple[float, float]]
    georeference: Georeference | None = None
    left_out: Skipped = field(default_factory=Skipped)
    chosen: Subset = WHOLE
    map_frame: str = "map"
    virtual_m: tuple[float, ...] = ()
    _skipped: Skipped = field(default_factory=Skipped, init=False)

    def __post_init__(self) -> None:
        self._rectifier = Rectifier(self.camera, len(self.directions))
        self._not_planned = Skipped()
        planned = virtual_positions(self.panoramas, self.virtual_m, self._not_planned)
        self._virtual = {
            panorama.name: positions for panorama, positions in zip(self.panoramas, planned, strict=True)
        }

    @property
    def skipped(self) -> Skipped:
        """Counts of the items that the last iteration left out, by reason."""
        return Skipped(dict(self._skipped.counts))

    def __len__(self) -> int:
        return sum(len(views) for _, views in self._selected())

    def subset(self, subset: Subset) -> StreetViewTraversal:
        """Returns this traversal reduced to some of its views."""
        return self if subset == WHOLE else replace(self, chosen=subset)

    def views_of(self, panorama: Panorama) -> list[View]:
        """Returns the views of a panorama, then its virtual views, which lie apart from it."""
        positions: list[VirtualPosition | None] = [None, *self._virtual[panorama.name]]
        directed = [(position, direction) for position in positions for direction in self.directions]
        return [
            View(
                panorama.stamp_ns + number,
                heading,
                pitch,
                panorama.T_map_panorama
                @ make_pose(
                    R_panorama_view(heading, pitch), np.zeros(3) if position is None else position.shift
                ),
                position,
            )
            for number, (position, (heading, pitch)) in enumerate(directed)
        ]

    def virtual_summaries(self, distances_m: Sequence[float]) -> list[VirtualSummary]:
        """Returns how many virtual views at each distance are possible, and how much of them is empty.

        It reads the depth maps, and no image.  A panorama whose depth map cannot be read has no virtual
        views, and is counted in `skipped`.
        """
        self._skipped = Skipped()
        read = [(panorama, self._distance(panorama)) for panorama in self.panoramas]
        rotations = [R_panorama_view(heading, pitch) for heading, pitch in self.directions]
        return summarize_virtual_views(read, self._rectifier, rotations, distances_m)

    def frames(self, pass_over: PassOver = read_all) -> Iterator[Frame]:
        """Yields the views in order of time; panoramas are decoded ahead in a thread, each once.

        `pass_over` is called for all views of a panorama before it is decoded, up to three panoramas ahead.

        Raises:
            TraversalError: there are panoramas, but none is usable.
        """
        self._skipped = Skipped(dict(self.left_out.counts))
        self._skipped.add_all(self._not_planned)
        usable = 0

        def needed() -> Iterator[tuple[Panorama, list[View]]]:
            nonlocal usable
            for panorama, views in self._selected():
                wanted = [view for view in views if not pass_over(view.stamp_ns, view.T_map_camera)]
                usable += len(views) - len(wanted)
                # The views from each place by themselves, which bounds the memory that they take.
                for _, together in groupby(wanted, key=lambda view: view.position and view.position.label):
                    yield panorama, list(together)

        last: dict[str, Viewer | None] = {}

        def taken(job: tuple[Panorama, list[View]]) -> list[Frame]:
            panorama, views = job
            if panorama.name not in last:
                last.clear()
                pixels = self._read(panorama)
                viewer = None if pixels is None else Viewer(pixels, self._rectifier, self._skipped)
                last[panorama.name] = viewer
            viewer = last[panorama.name]
            return [] if viewer is None else self._taken(panorama, viewer, views)

        with ReadAhead(_READERS) as ahead:
            for frames in ahead.map(taken, needed()):
                usable += len(frames)
                yield from frames
        if self.panoramas and not usable:
            raise TraversalError(
                f"{self.name}: none of the {len(self.panoramas)} panoramas is usable ({self._skipped})."
            )

    def scans(self, pass_over: PassOverScan = read_all) -> Iterator[Scan]:
        """Yields nothing: panoramas have no lidar scans."""
        return iter(())

    def _selected(self) -> Iterator[tuple[Panorama, list[View]]]:
        """Yields the panoramas with those of their views that are in the subset."""
        stamps = [view.stamp_ns for panorama in self.panoramas for view in self.views_of(panorama)]
        taken = {stamps[i] for i in self.chosen.select(np.array(stamps, np.int64))}
        for panorama in self.panoramas:
            views = [view for view in self.views_of(panorama) if view.stamp_ns in taken]
            if views:
                yield panorama, views

    def _taken(self, panorama: Panorama, viewer: Viewer, views: Sequence[View]) -> list[Frame]:
        """Returns the frames of views of a panorama; those that cannot be taken are counted."""
        frames = []
        for view in views:
            taken = viewer.view(view.R_panorama_view, view.position)
            if taken is None:
                continue
            if view.position is None and taken.visible is not None and taken.visible.mean() < LEAST_VISIBLE:
                self._skipped.add(SkipReason.VIEW_OUTSIDE)
                continue
            apart = "" if view.position is None else view.position.label
            name = f"{panorama.name}{apart}@{self._heading_of(view):.0f}"
            frames.append(
                Frame(
                    view.stamp_ns,
                    taken.image,
                    self.camera,
                    view.T_map_camera,
                    taken.depth,
                    name,
                    visible=taken.visible,
                    geo_tag=panorama.geo_tag,
                )
            )
        return frames

    def _read(self, panorama: Panorama) -> PanoramaPixels | None:
        try:
            pixels = read_panorama_image(panorama, panorama_width(self.camera))
        except TraversalError as error:
            self._skipped.add(_reason(error, _IMAGE_REASONS))
            return None
        return replace(pixels, distance=self._distance(panorama))

    def _distance(self, panorama: Panorama) -> NDArray[np.float32] | None:
        """Returns the distances of the depth map; None where there is none, or it is useless and counted."""
        if panorama.depth is None:
            return None
        try:
            distance = read_distance(panorama.depth)
        except TraversalError as error:
            self._skipped.add(_reason(error, _DEPTH_REASONS))
            return None
        if not np.isfinite(distance).any():  # its virtual views would show the sky alone, at a wrong place
            self._skipped.add(SkipReason.DEPTH_EMPTY)
            return None
        return distance

    def _heading_of(self, view: View) -> float:
        """Returns the heading of a view from north at the map's origin, in whole degrees."""
        R_enu_map = self.georeference.datum.R_enu_map(np.zeros(3)) if self.georeference else np.eye(3)
        return float(np.round(heading_of(R_enu_map @ view.T_map_camera[:3, :3])) % 360)


def _reason(error: TraversalError, reasons: Mapping[type[TraversalError], SkipReason]) -> SkipReason:
    return next(reason for kind, reason in reasons.items() if isinstance(error, kind))


def is_streetview(folder: Path) -> bool:
    """Returns whether a folder has an index of panoramas, or panoramas with geo-tags."""
    return folder.is_dir() and (index_file(folder) is not None or has_panoramas(folder))


def open_streetview(
    folder: Path,
    views: int | None = None,
    view_camera: str | None = None,
    view_pitch: float | None = None,
    virtual_views: float | str | Sequence[float] | None = None,
) -> StreetViewTraversal:
    """Opens a set of panoramas.

    Args:
        folder: folder of the set.
        views: number of views around; None for as many as overlap by a third, at least 8.
        view_camera: WIDTHxHEIGHT@FOV in degrees, or a calibration file; None for `DEFAULT_VIEW_CAMERA`.
        view_pitch: degrees by which the views look up; None for 0.
        virtual_views: distances in metres of virtual views ahead and behind, see `distances_of`; None for
            none.

    Raises:
        TraversalError: the index cannot be read, or none of its rows can be used, or an option is wrong.
    """
    virtual_m = distances_of(virtual_views)
    camera = view_camera_of(view_camera or DEFAULT_VIEW_CAMERA)
    index = read_photos(folder) if index_file(folder) is None else read_index(folder)
    placed = place(folder, index)
    if not placed.panoramas:
        reason = f" ({placed.skipped})" if placed.skipped else ""
        raise TraversalError(f"{folder}: there is no panorama that can be used{reason}.")
    count = default_view_count(camera) if views is None else views
    return StreetViewTraversal(
        str(folder),
        placed.panoramas,
        camera,
        view_directions(count, view_pitch or 0.0),
        placed.georeference,
        placed.skipped,
        virtual_m=virtual_m,
    )


FORMAT = Format(
    layout=f"{CSV_NAME} or {GEOJSON_NAME} and the panoramas that it names, or panoramas with geo-tags in "
    "EXIF and GPano, or in the JSON of Mapillary or KartaView",
    recognise=is_streetview,
    open=open_streetview,
    content=(Content.POSES, Content.DEPTH),
    options=("views", "view_camera", "view_pitch", "virtual_views"),
)
