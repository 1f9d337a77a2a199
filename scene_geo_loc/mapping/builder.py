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

"""Builds a reference map from frames and scans, whether they come from a recording or from live topics."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.core.parallel import ReadAhead, read_ahead
from scene_geo_loc.core.partial import PartialFolder
from scene_geo_loc.core.progress import ProgressCallback, ProgressDisplay, ignore_progress, no_display
from scene_geo_loc.depth.point_cloud import PointCloud
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.datum import Georeference
from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.mapping.editing.compatibility import check_like
from scene_geo_loc.mapping.finishing import MeasureMap, complete_map, keep_measurements
from scene_geo_loc.mapping.keyframe_depth.cloud_agreement import MIN_SHARE, CloudAgreement, measure_agreement
from scene_geo_loc.mapping.keyframe_maker import Keyframe, KeyframeMaker
from scene_geo_loc.mapping.map_info import KIND, check_output
from scene_geo_loc.mapping.partial_map import PartialMap
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.mapping.settings import BuilderSettings
from scene_geo_loc.mapping.user_networks import UserNetworks
from scene_geo_loc.mapping.waiting_keyframes import CompleteKeyframe, WaitingKeyframes
from scene_geo_loc.matchers.base import Matcher
from scene_geo_loc.matchers.storage import KeypointStorage
from scene_geo_loc.traversals.frame import Frame, Scan, Traversal
from scene_geo_loc.traversals.satellite import georeference_of
from scene_geo_loc.traversals.skipped import Skipped
from scene_geo_loc.traversals.sources import Role, SensorSource, sources_of

AGREEMENT_CHECKED = 20
"""Number of keyframes after which the depth of a cloud is first compared with the parallax of the images."""
SCANS_AHEAD = 8
"""Most scans of a recording that are decoded ahead of their use."""


@dataclass
class BuildProgress:
    """Progress of a build.

    Attributes:
        frames: frames given so far.
        keyframes: keyframes in the map so far.
        waiting: keyframes that wait for the lidar scans after them.
        without_depth: keyframes for which neither sensor, lidar nor network gave depth.
        skipped: frames left out, by `FrameRejection`.
    """

    frames: int = 0
    keyframes: int = 0
    waiting: int = 0
    without_depth: int = 0
    skipped: Skipped = field(default_factory=Skipped)


class MapBuilder:
    """Makes a reference map of frames and scans that are given in order of time.

    Everything is written to `<out>.partial` as it comes; `finish` renames that to `out`.  A build that was
    interrupted, even by a kill, is resumed by a new builder with the same arguments that is given the same
    frames.

    Attributes:
        out: folder of the map.
        settings: settings of the build.
        progress: progress of the build.
        cloud_agreement: of the cloud with the images; None before it is measured, and without a cloud.
    """

    def __init__(
        self,
        out: Path | str,
        settings: BuilderSettings | None = None,
        *,
        map_frame: str = "map",
        source: str = "",
        sources: Sequence[SensorSource] = (),
        georeference: Georeference | None = None,
        network: Path | str | None = None,
        matcher: type[Matcher] | None = None,
        like: ReferenceMap | None = None,
        cloud: PointCloud | None = None,
        device: str = "auto",
        overwrite: bool = False,
        measure: MeasureMap | None = None,
    ) -> None:
        """Prepares a build.

        Args:
            out: folder of the map, which must not exist.
            settings: settings of the build; default: `BuilderSettings()`.
            map_frame: id of the frame that the poses are given in.
            source: where the frames come from, for the map's provenance.
            sources: what is taken there for each role, see `sources_of`.
            georeference: place of the map on the Earth, see `georeference_of`; None where it is not known.
            network: a checkpoint; default: the network of the package, with its input resized to the shape
                of the images.  A network that is not fitted is fitted on the images of the map.
            matcher: a custom matcher, used instead of the one that `settings.matcher` names;
                `Localizer` needs the same.
            like: a map whose network is used in place of a new one, so that the keyframes of both maps can
                stand in one; without `network`.  A user's network that the
                settings name as that map does, without a folder, is its copy there.
            cloud: points in the frame of the poses that images without a depth of their own get it from, in
                place of the source's lidar.
            device: "auto", "cpu" or "cuda", see `Extractor`.
            overwrite: whether a map at `out` is replaced once the new one is complete.
            measure: measures the complete map, for covariance and acceptance of poses in it; see
                `self_measurement.measure_map`.  None: it is not measured.

        Raises:
            MapError: `out` exists and may not be overwritten, or is not a map; another process builds the
                map; or `<out>.partial` is not an unfinished map.
            CheckpointError: the network, or one that the settings name, cannot be read.
        """
        self.out = Path(out)
        self.settings = settings or BuilderSettings()
        self.map_frame = map_frame
        self.source = source
        self.sources = list(sources)
        self.georeference = georeference
        self._overwrite = overwrite
        check_output(self.out, overwrite)
        self.progress = BuildProgress()
        self._like, self._cloud = like, cloud
        self.cloud_agreement: CloudAgreement | None = None
        if cloud is not None:
            others = [source for source in self.sources if source.role != Role.LIDAR.value]
            self.sources = [*others, cloud.source]
        if like is not None:
            network = like.path / "network.safetensors"
        user_networks = UserNetworks.of(self.settings, like)
        self._maker = KeyframeMaker(
            self.settings, None if network is None else Path(network), user_networks, matcher, device
        )
        self._has_own_matcher = matcher is not None
        self._measure = measure
        self._partial = PartialMap(self.out)
        resumed = self._partial.records
        self.progress.keyframes = self._resumed = len(resumed)
        self._waiting = WaitingKeyframes(self.settings, cloud, resumed)

    @property
    def resumed_keyframes(self) -> int:
        """Number of keyframes that an earlier, unfinished build had left."""
        return self._resumed

    def add_traversal(self, traversal: Traversal, on_progress: ProgressCallback = ignore_progress) -> None:
        """Adds all frames and scans of a traversal.

        Args:
            on_progress: receives the frames added and the number of frames of the traversal.
        """
        total, before = len(traversal), self.progress.frames

        def pass_over(stamp_ns: int, T_map_camera: Pose | None) -> bool:
            is_near = T_map_camera is not None and self._waiting.stays_near(T_map_camera)
            if not is_near and not self._waiting.is_resumed(stamp_ns):
                return False
            self.progress.frames += 1
            on_progress(self.progress.frames - before, total)
            return True

        def complete() -> Iterator[CompleteKeyframe]:
            scans_of = self._waiting.new_thinning().scans(traversal) if self._cloud is None else iter(())
            with read_ahead(scans_of, SCANS_AHEAD) as scans:
                frames = traversal.frames(pass_over)
                items: Iterator[Frame | Scan] = heapq.merge(scans, frames, key=lambda item: item.stamp_ns)
                for item in items:
                    if isinstance(item, Scan):
                        self._waiting.add_scan(item)
                    else:
                        self._consider(item)
                        on_progress(self.progress.frames - before, total)
                    yield from self._waiting.complete(item.stamp_ns)

        self._add_in_parallel(complete())

    def add_scan(self, scan: Scan) -> None:
        """Adds a lidar scan."""
        self._waiting.thinning.look_at(scan)
        self._waiting.add_scan(scan)
        self._advance(scan.stamp_ns)

    def add_frame(self, frame: Frame) -> None:
        """Adds a frame; frames that cannot be used are counted in `progress.skipped`.

        Raises MapError where the map cannot be written, or was begun with other settings, and InferenceError
        where a user's network cannot be run on an image.
        """
        self._consider(frame)
        self._advance(frame.stamp_ns)

    def start_over(self) -> None:
        """Completes the keyframes that wait for scans, as the next frames and scans are of an earlier time.

        Raises as `add_frame`.
        """
        self._add(self._waiting.all())
        self._waiting.start_over()

    def _consider(self, frame: Frame) -> None:
        """Lets a frame wait for its scans if it is a keyframe."""
        self.progress.frames += 1
        before = len(self._waiting)
        rejection = self._waiting.consider(frame)
        if rejection is not None:
            self.progress.skipped.add(rejection)
        self.progress.waiting += len(self._waiting) - before

    def pass_over(self, stamp_ns: int, T_map_camera: Pose) -> bool:
        """Counts a frame whose pose is too near to the last keyframes; returns False where it is not.

        Lets the caller skip decoding the image.
        """
        if not self._waiting.is_near(T_map_camera):
            return False
        self.progress.frames += 1
        self._advance(stamp_ns)
        return True

    def pass_over_scan(self) -> bool:
        """Returns whether the next scan is not needed, because the lidar is dense; see `ScanThinning`.

        Lets the caller skip decoding it.
        """
        return self._waiting.thinning.pass_over()

    def _advance(self, stamp_ns: int) -> None:
        """Adds the waiting keyframes whose scans are complete to the map."""
        self._add(self._waiting.complete(stamp_ns))

    def _add(self, complete: Iterator[CompleteKeyframe]) -> None:
        """Adds keyframes to the map, one by one."""
        for keyframe in self._prepared(complete):
            self._append(self._maker.make(keyframe))

    def _add_in_parallel(self, complete: Iterator[CompleteKeyframe]) -> None:
        """Adds keyframes to the map in order, several of which are made at a time."""
        with ReadAhead() as ahead:
            for keyframe in ahead.map(self._maker.make, self._prepared(complete)):
                self._append(keyframe)

    def _prepared(self, complete: Iterator[CompleteKeyframe]) -> Iterator[CompleteKeyframe]:
        """Yields complete keyframes; the first one tells with which camera the map begins."""
        for keyframe in complete:
            if not self._maker.is_started:
                self._start(keyframe.frame.camera, keyframe.frame.readout_motion is not None)
            yield keyframe

    def _append(self, keyframe: Keyframe) -> None:
        """Adds a keyframe to the partial map."""
        with self._writing():
            self._partial.append(*keyframe)
        self.progress.keyframes += 1
        if self._cloud is not None and self.progress.keyframes == AGREEMENT_CHECKED:
            self._check_cloud()
        self.progress.waiting -= 1
        self.progress.without_depth += not np.isfinite(keyframe.depth).any()

    def _check_cloud(self) -> None:
        """Compares the cloud with the images. Raises MapError where it is in another frame than the poses."""
        if self._cloud is None or not isinstance(self._maker.matcher.storage, KeypointStorage):
            return
        with self._maker.in_use:
            self.cloud_agreement = measure_agreement(self._partial, self._maker.matcher)
        if self.cloud_agreement.is_refuted:
            raise MapError(
                f"{self._cloud.name} is in another frame than the drive's poses: {self.cloud_agreement} < "
                f"{MIN_SHARE:.0%}. Bring the cloud, or the poses, into the other's frame."
            )

    def _start(self, camera: Camera, is_rolling: bool = False) -> None:
        """Opens the partial map at the first keyframe, whose camera sets the shape of the network's input."""
        maker = self._maker
        maker.start(camera, is_rolling)
        if self._like is not None:
            check_like(self._like, maker.matcher, self.settings)
        begun_with: dict[str, Any] = {
            "settings": self.settings.record(),
            "map_frame": self.map_frame,
            "source": self.source,
            "network": maker.network.digest,
            "matcher": maker.matcher.name,
        }
        if maker.user_networks.digests():
            begun_with["user_networks"] = maker.user_networks.digests()
        if self._like is not None:
            begun_with["like"] = self._like.info.digest
        if self._cloud is not None:
            begun_with["cloud"] = f"{self._cloud.name}, {self._cloud.count} points"
        if maker.vocabulary is not None:
            begun_with["vocabulary"] = maker.vocabulary.digest
        with self._writing():
            self._partial.begin(begun_with, maker.extractor, maker.matcher, refines_depth=maker.refines_depth)

    def finish(self, on_progress: ProgressCallback = ignore_progress) -> Path:
        """Completes the map, gives it its final name and returns its folder.

        Args:
            on_progress: receives the steps done and their total: one for each keyframe, and two where depth
                is refined, for descriptor and depth.

        Raises MapError where there is no keyframe, or the map cannot be written.
        """
        self._add_in_parallel(self._waiting.all())
        records = self._partial.records
        if self._cloud is not None and records:  # fewer than are checked on the way
            self._cloud.check_frame(np.stack([record.T_map_camera[:3, 3] for record in records]))
        if not records:
            skipped = f" ({self.progress.skipped})" if self.progress.skipped else ""
            raise MapError(
                f"No map was built: none of {self.progress.frames} frames can be a keyframe{skipped}."
            )
        try:
            with self._writing():
                maker = self._maker
                if not maker.is_started:
                    self._start(records[0].camera)
                self._check_cloud()
                without_depth = complete_map(
                    self._partial,
                    maker.extractor,
                    maker.matcher,
                    maker.provenance,
                    on_progress,
                    None if maker.vocabulary is None else Path(str(self.settings.descriptor)).name,
                    map_frame=self.map_frame,
                    source=self.source,
                    sources=self.sources,
                    georeference=self.georeference,
                    settings=self.settings.record(),
                    skipped=self.progress.skipped.counts,
                    user_networks=maker.user_networks.records(),
                )
                # A custom matcher is known to this process only.
                if self._measure is not None and not self._has_own_matcher:
                    keep_measurements(self._partial.folder, maker.extractor, self._measure)
                if without_depth is not None:
                    self.progress.without_depth = without_depth
                self._partial.publish(overwrite=self._overwrite)
        except BaseException:
            self.abandon()
            raise
        return self.out

    def abandon(self) -> None:
        """Closes and unlocks an unfinished build; the next frame, or another builder, resumes it."""
        self._partial.close()
        self._maker.is_started = False

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Raises MapError where the disk is full or cannot be written."""
        try:
            yield
        except OSError as error:
            raise MapError(
                f"{self._partial.folder} cannot be written ({error.strerror or error}): make room, and build "
                "again to resume."
            ) from error


def build_map(
    traversal: Traversal,
    out: Path | str,
    settings: BuilderSettings | None = None,
    *,
    source: str | None = None,
    network: Path | str | None = None,
    matcher: type[Matcher] | None = None,
    device: str = "auto",
    overwrite: bool = False,
    measure: MeasureMap | None = None,
    display: ProgressDisplay = no_display,
) -> ReferenceMap:
    """Builds a map of a traversal and opens it; resumes an interrupted build of the same.

    Args:
        source: see `MapBuilder`; default: the traversal's name.
        display: shows the progress of adding the frames and of finishing the map.

    The other arguments, and what is raised, are those of `MapBuilder`.
    """
    builder = MapBuilder(
        out,
        settings,
        map_frame=traversal.map_frame,
        source=traversal.name if source is None else source,
        sources=sources_of(traversal),
        georeference=georeference_of(traversal),
        network=network,
        matcher=matcher,
        device=device,
        overwrite=overwrite,
        measure=measure,
    )
    try:
        with display(f"building {out}", "frames") as on_progress:
            builder.add_traversal(traversal, on_progress)
        with display(f"finishing {out}", "steps") as on_progress:
            return ReferenceMap.open(builder.finish(on_progress))
    finally:
        builder.abandon()


def remove_partial(out: Path) -> None:
    """Removes what an unfinished build of the map `out` has left; anything else is kept."""
    partial = PartialFolder(out, KIND, error=MapError)
    if partial.take_up():
        partial.discard()
