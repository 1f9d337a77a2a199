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
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.core.parallel import ReadAhead, read_ahead
from scene_geo_loc.core.partial import PartialFolder
from scene_geo_loc.core.progress import ProgressCallback, ProgressDisplay, ignore_progress, no_display
from scene_geo_loc.depth.lidar import MAX_DEPTH_M, LidarAccumulator, MapPoints
from scene_geo_loc.depth.point_cloud import OCCLUDER_M, PointCloud
from scene_geo_loc.depth.thinning import ScanThinning
from scene_geo_loc.depth.window import WINDOWS
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.datum import Georeference
from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.mapping.editing.compatibility import check_like
from scene_geo_loc.mapping.finishing import MeasureMap, complete_map, keep_measurements
from scene_geo_loc.mapping.keyframe_depth.cloud_agreement import MIN_SHARE, CloudAgreement, measure_agreement
from scene_geo_loc.mapping.keyframe_depth.keyframe_depth import as_at_once, choose_depth, measured_depth
from scene_geo_loc.mapping.keyframe_depth.multi_view_depth import REFINED_SOURCES
from scene_geo_loc.mapping.keyframes import RECENT, KeyframeSelector
from scene_geo_loc.mapping.map_info import KIND, check_output
from scene_geo_loc.mapping.partial_map import KeyframeRecord, PartialMap
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.mapping.settings import (
    BAG_OF_WORDS,
    WITHOUT_DEPTH,
    BuilderSettings,
    is_vocabulary_file,
)
from scene_geo_loc.mapping.user_networks import UserNetworks
from scene_geo_loc.matchers import chosen_matcher_class, with_pair_network
from scene_geo_loc.matchers.base import Matcher
from scene_geo_loc.matchers.storage import KeypointStorage, Rows
from scene_geo_loc.matchers.user_keypoints import UserKeypointMatcher
from scene_geo_loc.networks.checkpoint import load_network
from scene_geo_loc.networks.default import default_network
from scene_geo_loc.networks.image_descriptor import ImageDescriptor
from scene_geo_loc.networks.runtime.extractor import Extractor, has_contrast
from scene_geo_loc.networks.user.image_network import DescriptorNetwork
from scene_geo_loc.traversals.frame import Frame, Scan, Traversal
from scene_geo_loc.traversals.holes import away_from_holes, without_holes
from scene_geo_loc.traversals.satellite import georeference_of
from scene_geo_loc.traversals.skipped import Skipped
from scene_geo_loc.traversals.sources import Role, SensorSource, sources_of
from scene_geo_loc.visual_words.image_descriptor import VisualWords
from scene_geo_loc.visual_words.vocabulary import Vocabulary

AGREEMENT_CHECKED = 20
"""Number of keyframes after which the depth of a cloud is first compared with the parallax of the images."""
FRAME_CHECKED = 10
"""Number of keyframes by which it is noticed that a cloud of points is in another frame."""
SCANS_AHEAD = 8
"""Most scans of a recording that are decoded ahead of their use."""


class FrameRejection(str, Enum):
    """Reason why a frame cannot become a keyframe; the value completes "3 frames ..."."""

    NO_POSE = "without a pose"
    WRONG_SIZE = "of another size than their camera says"
    NO_CONTRAST = "black or saturated"
    OUT_OF_ORDER = "out of order"
    DUPLICATE = "given twice"


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
            like: a map whose network and whose axes of place cells are used in place of new ones, so that
                the keyframes of both maps can stand in one; without `network`.  A user's network that the
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
        self._device = device
        self._like, self._cloud = like, cloud
        self.cloud_agreement: CloudAgreement | None = None
        if cloud is not None:
            others = [source for source in self.sources if source.role != Role.LIDAR.value]
            self.sources = [*others, cloud.source]
        if like is not None:
            network = like.path / "network.safetensors"
        self._network, self._provenance = load_network(Path(network)) if network else default_network()
        if self.settings.depth == "learned" and not self._network.infers_depth:
            raise MapError(
                "The network infers no depth, and depth is to be learned: set `depth` to `auto`, which "
                "triangulates it from neighbouring keyframes, or name a network that was trained for depth."
            )
        self._user_networks = UserNetworks.of(self.settings, like)
        self._vocabulary = _vocabulary_of(self.settings)
        if matcher is not None and self.settings.local_features is not None:
            raise MapError(
                f"The matcher {matcher.name!r} has features of its own: leave `local_features` unset."
            )
        self._keeps_input = network is not None
        self._matcher_class = matcher
        self._measure = measure
        self._extractor: Extractor | None = None
        self._computing = threading.Lock()  # extractor and matcher serve one keyframe at a time
        self._waiting: deque[Frame] = deque()
        self._cloud_positions: list[NDArray[np.float64]] = []
        self._is_rolling = False
        self._thinning = self._new_thinning()
        self._lidar = LidarAccumulator(WINDOWS.get(self.settings.lidar))
        self._latest_ns = -(2**63)
        self._partial = PartialMap(self.out)
        resumed = self._partial.records
        self.progress.keyframes = self._resumed = len(resumed)
        self._resume_ns = resumed[-1].stamp_ns if resumed else -(2**63)
        self._resumed_last = resumed[-RECENT:]
        self._selector = KeyframeSelector(
            self.settings.keyframe_distance_m,
            self.settings.keyframe_angle_deg,
            (record.T_map_camera for record in self._resumed_last),
        )

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
            is_near = T_map_camera is not None and self._selector.stays_near(T_map_camera)
            if not is_near and stamp_ns >= self._resume_ns:
                return False
            self.progress.frames += 1
            on_progress(self.progress.frames - before, total)
            return True

        def jobs() -> Iterator[_Job]:
            scans_of = self._new_thinning().scans(traversal) if self._cloud is None else iter(())
            with read_ahead(scans_of, SCANS_AHEAD) as scans:
                frames = traversal.frames(pass_over)
                items: Iterator[Frame | Scan] = heapq.merge(scans, frames, key=lambda item: item.stamp_ns)
                for item in items:
                    if isinstance(item, Scan):
                        self._lidar.add(item)
                    else:
                        self._consider(item)
                        on_progress(self.progress.frames - before, total)
                    yield from self._complete(item.stamp_ns)

        self._add_in_parallel(jobs())

    def add_scan(self, scan: Scan) -> None:
        """Adds a lidar scan."""
        self._thinning.look_at(scan)
        self._lidar.add(scan)
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
        while self._waiting:
            self._append(self._compute(self._next_job()))
        self._latest_ns = self._resume_ns = -(2**63)

    def _consider(self, frame: Frame) -> None:
        """Lets a frame wait for its scans if it is a keyframe."""
        self.progress.frames += 1
        frame = self._of_middle_row(frame)
        if frame.stamp_ns < self._resume_ns or _is_among(frame, self._resumed_last):
            return
        rejection = self._rejection(frame)
        if rejection is not None:
            self.progress.skipped.add(rejection)
        elif frame.T_map_camera is not None and self._selector.accept(frame.T_map_camera):
            self._waiting.append(frame)
            self.progress.waiting += 1

    def _of_middle_row(self, frame: Frame) -> Frame:
        """Returns the frame of a rolling shutter with the pose of its middle row, which a keyframe has."""
        motion, T_map_camera = frame.readout_motion, frame.T_map_camera
        if frame.camera.readout_s:
            frame = replace(frame, camera=replace(frame.camera, readout_s=0.0))
        if motion is None or T_map_camera is None:
            return frame
        T_image_middle, motion = motion.at_middle_row()
        return replace(frame, T_map_camera=T_map_camera @ T_image_middle, readout_motion=motion)

    def pass_over(self, stamp_ns: int, T_map_camera: Pose) -> bool:
        """Counts a frame whose pose is too near to the last keyframes; returns False where it is not.

        Lets the caller skip decoding the image.
        """
        if not self._selector.is_near(T_map_camera):
            return False
        self.progress.frames += 1
        self._advance(stamp_ns)
        return True

    def pass_over_scan(self) -> bool:
        """Returns whether the next scan is not needed, because the lidar is dense; see `ScanThinning`.

        Lets the caller skip decoding it.
        """
        return self._thinning.pass_over()

    def _new_thinning(self) -> ScanThinning:
        return ScanThinning(None if self.settings.lidar == "auto" else self.settings.lidar == "spinning")

    def _rejection(self, frame: Frame) -> FrameRejection | None:
        if frame.T_map_camera is None:
            return FrameRejection.NO_POSE
        size = (frame.camera.height, frame.camera.width)
        if frame.image.shape[:2] != size or (frame.visible is not None and frame.visible.shape != size):
            return FrameRejection.WRONG_SIZE
        if not has_contrast(frame.image, frame.visible):
            return FrameRejection.NO_CONTRAST
        if self._waiting and frame.stamp_ns < self._waiting[-1].stamp_ns:
            return FrameRejection.OUT_OF_ORDER
        if _is_among(frame, self._waiting):
            return FrameRejection.DUPLICATE
        return None

    def _advance(self, stamp_ns: int) -> None:
        """Adds the waiting keyframes whose scans are complete to the map."""
        for job in self._complete(stamp_ns):
            self._append(self._compute(job))

    def _complete(self, stamp_ns: int) -> Iterator[_Job]:
        """Yields the waiting keyframes whose scans are complete when a frame or scan was added."""
        self._latest_ns = max(self._latest_ns, stamp_ns)
        after_ns = round(self._lidar.window.after_s * 1e9)
        while self._waiting:
            first, last = self._waiting[0], self._waiting[-1]
            assert first.T_map_camera is not None
            assert last.T_map_camera is not None
            distance = np.linalg.norm(last.T_map_camera[:3, 3] - first.T_map_camera[:3, 3])
            # Beyond the farthest depth there is nothing to wait for: the next scans are of other places.
            if (
                first.depth is None
                and self._cloud is None
                and self._latest_ns <= first.stamp_ns + after_ns
                and distance <= MAX_DEPTH_M
            ):
                break
            yield self._next_job()

    def _next_job(self) -> _Job:
        frame = self._waiting.popleft()
        if self._extractor is None:
            self._is_rolling = frame.readout_motion is not None
            self._extractor = self._start(frame.camera)
        if self._cloud is not None and frame.T_map_camera is not None:
            self._cloud_positions.append(frame.T_map_camera[:3, 3])
            if len(self._cloud_positions) == FRAME_CHECKED:
                self._cloud.check_frame(np.stack(self._cloud_positions))
            return _Job(frame, self._cloud.near(frame.T_map_camera[:3, 3]), OCCLUDER_M)
        return _Job(frame, self._lidar.points_around(frame.stamp_ns), self._lidar.window.occluder_m)

    def _add_in_parallel(self, jobs: Iterator[_Job]) -> None:
        """Adds the keyframes of jobs in order, several of which are computed at a time."""
        with ReadAhead() as ahead:
            for keyframe in ahead.map(self._compute, jobs):
                self._append(keyframe)

    def _compute(self, job: _Job) -> _Keyframe:
        """Computes what the map stores of a keyframe; thread-safe."""
        extractor, frame, size = self._extractor, job.frame, self._matcher.input_size
        assert extractor is not None
        visible = frame.visible
        if visible is not None:
            frame = replace(frame, image=without_holes(frame.image, visible))
        measured = None
        if self.settings.depth not in ("learned", "none"):
            measured = measured_depth(
                frame, job.points, job.occluder_m, (int(size[0]), int(size[1])), self._matcher.depth_pixels
            )
        with self._computing:
            features = extractor.extract(frame.image, visible=visible)
            dense = choose_depth(measured, features, extractor.network, self.settings.depth)
            visible_features = np.ones((1, 1), bool)
            if visible is not None:
                visible_features = away_from_holes(visible)
                dense = replace(dense, visible=visible_features)
            # Where neighbouring keyframes may give the depth later, or none is needed, all features are kept.
            is_refined = self._refines_depth and dense.source in REFINED_SOURCES
            keeps_all = is_refined or self.settings.depth in WITHOUT_DEPTH
            known = visible_features if keeps_all else dense.known
            rows, pixels = self._matcher.rows(frame.image, features, known)
        depth, sigma = dense.at(pixels, size)
        if frame.readout_motion is not None:
            storage = self._matcher.storage
            assert isinstance(storage, KeypointStorage)
            moved, depth, sigma = as_at_once(frame, frame.readout_motion, pixels, size, depth, sigma)
            rows = storage.moved(rows, moved)
        record = KeyframeRecord.of(frame, dense.source)
        return _Keyframe(record, rows, depth, sigma, features.described_by, job.frame.image)

    def _append(self, keyframe: _Keyframe) -> None:
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
        if self._cloud is None or not isinstance(self._matcher.storage, KeypointStorage):
            return
        with self._computing:
            self.cloud_agreement = measure_agreement(self._partial, self._matcher)
        if self.cloud_agreement.is_refuted:
            raise MapError(
                f"{self._cloud.name} is in another frame than the drive's poses: {self.cloud_agreement} < "
                f"{MIN_SHARE:.0%}. Bring the cloud, or the poses, into the other's frame."
            )

    @property
    def _refines_depth(self) -> bool:
        """True if depth that was not measured is refined from neighbouring keyframes in the end."""
        return self.settings.depth in ("auto", "learned")

    def _start(self, camera: Camera) -> Extractor:
        """Opens the partial map at the first keyframe, whose camera sets the shape of the network's input."""
        if not self._keeps_input:
            self._network = self._network.with_input_for(camera.width, camera.height)
        user = self._user_networks
        self._extractor = Extractor(self._network, self._device, self._new_descriptor())
        self._matcher = self._new_matcher()
        if self._is_rolling and not isinstance(self._matcher.storage, KeypointStorage):
            raise MapError(
                "The camera has a rolling shutter, which cannot be corrected in features of cells, whose "
                "places are fixed: set `matcher` to one of keypoints, such as xfeat or sift, or the readout "
                "time to 0."
            )
        if self._like is not None:
            check_like(self._like, self._matcher, self.settings)
        begun_with: dict[str, Any] = {
            "settings": self.settings.record(),
            "map_frame": self.map_frame,
            "source": self.source,
            "network": self._network.digest,
            "matcher": self._matcher.name,
        }
        if user.digests():
            begun_with["user_networks"] = user.digests()
        if self._like is not None:
            begun_with["like"] = self._like.info.digest
        if self._cloud is not None:
            begun_with["cloud"] = f"{self._cloud.name}, {self._cloud.count} points"
        if self._vocabulary is not None:
            begun_with["vocabulary"] = self._vocabulary.digest
        with self._writing():
            self._partial.begin(begun_with, self._extractor, self._matcher, refines_depth=self._refines_depth)
        return self._extractor

    def _new_descriptor(self) -> ImageDescriptor | None:
        """Returns what describes images in place of the network, or None."""
        if self._vocabulary is not None or self.settings.descriptor == BAG_OF_WORDS:
            return VisualWords(self._vocabulary)
        given = self._user_networks.descriptor
        return None if given is None else DescriptorNetwork(given, self._device)

    def _new_matcher(self) -> Matcher:
        """Returns the matcher of a new map."""
        settings, user = self.settings, self._user_networks
        if user.local_features is not None:
            matcher: Matcher = UserKeypointMatcher(
                self._network, device=self._device, given=user.local_features
            )
        else:
            named = chosen_matcher_class(settings.local_features or settings.matcher, self._network)
            matcher = (self._matcher_class or named)(self._network)
        if self.settings.depth in WITHOUT_DEPTH and not isinstance(matcher.storage, KeypointStorage):
            raise MapError(
                f"`depth` is `{self.settings.depth}`, and the features of cells need a depth: set `matcher` "
                "to one of keypoints, such as xfeat or sift, or name a network that finds keypoints."
            )
        if user.matcher is None:
            return matcher
        return with_pair_network(matcher, user.matcher, self._device)

    def finish(self, on_progress: ProgressCallback = ignore_progress) -> Path:
        """Completes the map, gives it its final name and returns its folder.

        Args:
            on_progress: receives the steps done and their total: one for each keyframe, and two where depth
                is refined, for descriptor and depth.

        Raises MapError where there is no keyframe, or the map cannot be written.
        """
        self._add_in_parallel(self._next_job() for _ in range(len(self._waiting)))
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
                extractor = self._extractor or self._start(records[0].camera)
                self._check_cloud()
                without_depth = complete_map(
                    self._partial,
                    extractor,
                    self._matcher,
                    self._provenance,
                    on_progress,
                    None if self._vocabulary is None else Path(str(self.settings.descriptor)).name,
                    None if self._like is None else self._like.place_axes_file,
                    map_frame=self.map_frame,
                    source=self.source,
                    sources=self.sources,
                    georeference=self.georeference,
                    settings=self.settings.record(),
                    skipped=self.progress.skipped.counts,
                    user_networks=self._user_networks.records(),
                )
                # A custom matcher is known to this process only.
                if self._measure is not None and self._matcher_class is None:
                    keep_measurements(self._partial.folder, extractor, self._measure)
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
        self._extractor = None

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


class _Job(NamedTuple):
    """A keyframe whose scans are complete.

    Attributes:
        points: lidar points around the frame.
        occluder_m: reach of the search for occluders among them, see `ScanWindow`.
    """

    frame: Frame
    points: list[MapPoints]
    occluder_m: float


class _Keyframe(NamedTuple):
    """The parts of a keyframe that the map stores; see `PartialMap.append`."""

    record: KeyframeRecord
    rows: Rows
    depth: NDArray[np.float32]
    sigma: NDArray[np.float32]
    described: Sequence[NDArray]
    image: NDArray[np.uint8]


def _vocabulary_of(settings: BuilderSettings) -> Vocabulary | None:
    """Returns the vocabulary that settings name. Raises CheckpointError where it cannot be read."""
    file = settings.descriptor
    return Vocabulary.read(Path(file)) if file is not None and is_vocabulary_file(file) else None


def _is_among(frame: Frame, earlier: Sequence[Frame | KeyframeRecord]) -> bool:
    """Returns whether a frame repeats one of the last ones; cameras of a rig may share a stamp."""
    same_stamp = takewhile(lambda item: item.stamp_ns == frame.stamp_ns, reversed(earlier))
    poses = [item.T_map_camera for item in same_stamp if item.T_map_camera is not None]
    return frame.T_map_camera is not None and any(np.array_equal(T, frame.T_map_camera) for T in poses)


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
