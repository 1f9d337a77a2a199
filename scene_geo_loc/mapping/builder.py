"""Builds a reference map from frames and scans, whether they come from a bag or from live topics."""

from __future__ import annotations

import heapq
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import takewhile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc import __version__
from scene_geo_loc.core.errors import MapError
from scene_geo_loc.core.partial import PartialFolder
from scene_geo_loc.core.progress import ProgressCallback, ignore_progress
from scene_geo_loc.depth.lidar import MAX_DEPTH_M, LidarAccumulator
from scene_geo_loc.depth.window import WINDOWS
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.mapping.index import DescriptorIndex
from scene_geo_loc.mapping.keyframe_depth import depth_of
from scene_geo_loc.mapping.keyframes import RECENT, KeyframeSelector
from scene_geo_loc.mapping.multi_view_depth import OF_IMAGES, refine_depth
from scene_geo_loc.mapping.partial_map import KeyframeRecord, PartialMap
from scene_geo_loc.mapping.reference_map import (
    FILES,
    FORMAT,
    KIND,
    OPTIONAL_FILES,
    FileRecord,
    MapInfo,
    check_replaceable_map,
    sha256_of,
)
from scene_geo_loc.mapping.settings import BuilderSettings
from scene_geo_loc.matchers import make_matcher
from scene_geo_loc.matchers.base import FittedMatcher
from scene_geo_loc.networks.checkpoint import digest, load_checkpoint, save_checkpoint
from scene_geo_loc.networks.default import default_network
from scene_geo_loc.networks.runtime.extractor import Extractor, has_contrast
from scene_geo_loc.traversals.frame import Frame, Scan, Traversal
from scene_geo_loc.traversals.skipped import Skipped

FIT_KEYFRAMES = 1000
"""Most keyframes that pooling and projection are fitted on."""
FIT_MATCHER_KEYFRAMES = 100
"""Most keyframes that a matcher is fitted on."""


@dataclass
class BuildProgress:
    """How far a build is.

    Attributes:
        frames: frames given so far.
        keyframes: keyframes in the map so far.
        waiting: keyframes that wait for the lidar scans after them.
        without_depth: keyframes that neither a sensor, nor the lidar, nor the network gave depth for.
        skipped: frames left out, by reason.
    """

    frames: int = 0
    keyframes: int = 0
    waiting: int = 0
    without_depth: int = 0
    skipped: Skipped = field(default_factory=Skipped)


class MapBuilder:
    """Turns frames and scans, in order of time, into a reference map.

    Everything is written to `<out>.partial` as it comes and renamed to `out` by `finish`, so that
    a build that was stopped, however hard, goes on where it was: make the builder again for the
    same `out` and give it the same frames.
    """

    def __init__(
        self,
        out: Path | str,
        settings: BuilderSettings | None = None,
        *,
        map_frame: str = "map",
        source: str = "",
        network: Path | None = None,
        device: str = "auto",
        overwrite: bool = False,
    ) -> None:
        """Prepares a build.

        Args:
            out: folder of the map to be.
            settings: how to build.
            map_frame: id of the frame that the poses are given in.
            source: where the frames come from, for the map's provenance.
            network: a checkpoint; without one it is the network that the package comes with, its input
                of the images' shape.  A network that is not fitted is fitted on the map's own images.
            device: torch device, or "auto".
            overwrite: whether a map at `out` may be replaced, once the new one is complete.

        Raises:
            MapError: there is something at `out` that may not be overwritten or is no map, another process
                builds it, or `<out>.partial` is not an unfinished map.
            CheckpointError: the network cannot be read.
        """
        self.out = Path(out)
        self.settings = settings or BuilderSettings()
        self.map_frame = map_frame
        self.source = source
        self._overwrite = overwrite
        if os.path.lexists(self.out):
            if not overwrite:
                raise MapError(
                    f"{self.out} exists already: remove it, name another, or allow it to be overwritten."
                )
            check_replaceable_map(self.out)
        self.progress = BuildProgress()
        self._device = device
        self._network, self._provenance = load_checkpoint(network) if network else default_network()
        if self.settings.depth == "learned" and not self._network.descriptor.infers_depth:
            raise MapError(
                "The network infers no depth, and depth is to be learned: take `--depth auto`, for which "
                "keyframes that show the same will do, or name a network that `train scene` taught depth."
            )
        self._keeps_input = network is not None
        self._extractor: Extractor | None = None
        self._waiting: deque[Frame] = deque()
        self._lidar = LidarAccumulator(WINDOWS.get(self.settings.lidar))
        self._latest_ns = -(2**63)
        self._partial = PartialMap(self.out)
        self._resumed = len(self._partial.records)
        self._resume_ns = self._partial.records[-1].stamp_ns if self._resumed else -(2**63)
        self.progress.keyframes = self._resumed
        self._resumed_last = self._partial.records[-RECENT:]
        self._selector = KeyframeSelector(
            self.settings.keyframe_distance_m,
            self.settings.keyframe_angle_deg,
            (record.T_map_camera for record in self._resumed_last),
        )

    @property
    def _is_of_images(self) -> bool:
        """Whether depth may be that of images, where none is measured."""
        return self.settings.depth != "measured"

    @property
    def resumed_keyframes(self) -> int:
        """How many keyframes an earlier, unfinished build had left."""
        return self._resumed

    def add_scan(self, scan: Scan) -> None:
        """Takes a lidar scan."""
        self._lidar.add(scan)
        self._advance(scan.stamp_ns)

    def add_frame(self, frame: Frame) -> None:
        """Takes a frame; what cannot be used is counted in `progress.skipped`."""
        self.progress.frames += 1
        if frame.stamp_ns < self._resume_ns or _is_among(frame, self._resumed_last):
            return
        reason = self._unusable(frame)
        if reason:
            self.progress.skipped.add(reason)
        elif frame.T_map_camera is not None and self._selector.accept(frame.T_map_camera):
            self._waiting.append(frame)
            self.progress.waiting += 1
        self._advance(frame.stamp_ns)

    def pass_over(self, stamp_ns: int, T_map_camera: Pose) -> bool:
        """Takes a frame that is too near to the last keyframe by its pose alone; whether it was.

        Who would have to decode its image can do without.
        """
        if not self._selector.is_near(T_map_camera):
            return False
        self.progress.frames += 1
        self._advance(stamp_ns)
        return True

    def _unusable(self, frame: Frame) -> str:
        if frame.T_map_camera is None:
            return "without a pose"
        if frame.image.shape[:2] != (frame.camera.height, frame.camera.width):
            return "of another size than their camera says"
        if not has_contrast(frame.image):
            return "black or saturated"
        if self._waiting and frame.stamp_ns < self._waiting[-1].stamp_ns:
            return "out of order"
        if _is_among(frame, self._waiting):
            return "given twice"
        return ""

    def _advance(self, stamp_ns: int) -> None:
        """Completes the keyframes whose scans are all in by now."""
        self._latest_ns = max(self._latest_ns, stamp_ns)
        after_ns = round(self._lidar.window.after_s * 1e9)
        while self._waiting:
            first, last = self._waiting[0], self._waiting[-1]
            assert first.T_map_camera is not None
            assert last.T_map_camera is not None
            way = np.linalg.norm(last.T_map_camera[:3, 3] - first.T_map_camera[:3, 3])
            # Past the farthest depth there is nothing to wait for: the scans ahead are of other places.
            if first.depth is None and self._latest_ns <= first.stamp_ns + after_ns and way <= MAX_DEPTH_M:
                break
            self._complete_next()

    def _complete_next(self) -> None:
        """Adds the first of the waiting keyframes to the partial map."""
        frame = self._waiting.popleft()
        assert frame.T_map_camera is not None
        extractor = self._extractor or self._start(frame.camera)
        features = extractor.extract(frame.image)
        dense = depth_of(frame, features, extractor.network, self._lidar, self.settings.depth)
        # Depth that is not measured may yet come from the keyframes around it, wherever there is a feature.
        known = np.ones((1, 1), bool) if dense.source in OF_IMAGES and self._is_of_images else dense.known
        rows, pixels = self._matcher.rows(frame.image, features, known)
        depth, sigma = dense.at(pixels, self._matcher.input_size)
        record = KeyframeRecord.of(frame, dense.source)
        with self._writing():
            self._partial.append(record, rows, depth, sigma, features.described_by, frame.image)
        self.progress.keyframes += 1
        self.progress.waiting -= 1
        self.progress.without_depth += not np.isfinite(depth).any()

    def _start(self, camera: Camera) -> Extractor:
        """Begins, at the first keyframe: the shape of the default network's input follows the images'."""
        if not self._keeps_input:
            self._network = self._network.with_input_for(camera.width, camera.height)
        self._extractor = Extractor(self._network, self._device)
        self._matcher = make_matcher(self.settings.matcher, self._network)
        self._partial.begin(
            {
                "settings": self.settings.model_dump(),
                "map_frame": self.map_frame,
                "source": self.source,
                "network": digest(self._network),
            },
            self._network,
            self._matcher,
            of_images=self._is_of_images,
        )
        return self._extractor

    def finish(self, on_progress: ProgressCallback = ignore_progress) -> Path:
        """Completes the map and gives it its final name.

        Args:
            on_progress: receives the steps done and their total: one for each keyframe, and two in a map of
                images, for descriptor and depth.

        Raises MapError where there is no keyframe.
        """
        while self._waiting:
            self._complete_next()
        if not self._partial.records:
            skipped = f" ({self.progress.skipped})" if self.progress.skipped else ""
            raise MapError(
                f"No map was built: none of {self.progress.frames} frames can be a keyframe{skipped}."
            )
        try:
            with self._writing():
                self._complete(on_progress)
                self._partial.publish(overwrite=self._overwrite)
        except BaseException:
            self.abandon()
            raise
        return self.out

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Makes MapError of what is raised where the disk is full or gone."""
        try:
            yield
        except OSError as error:
            raise MapError(
                f"{self._partial.folder} cannot be written: {error.strerror or error}; make room and build "
                "again, which continues there."
            ) from error

    def _complete(self, on_progress: ProgressCallback) -> None:
        """Writes the files that need all keyframes."""
        records = self._partial.records
        extractor = self._extractor or self._start(records[0].camera)
        network, folder = extractor.network, self._partial.folder
        total = len(records) * (2 if self._is_of_images else 1)

        def on_keyframes(done: int) -> None:
            on_progress(done, total)

        descriptors = self._describe(extractor, on_keyframes)
        np.save(folder / "descriptors.npy", descriptors.astype(np.float16))
        DescriptorIndex.build(descriptors).write(folder / "index.faiss")
        save_checkpoint(network, folder / "network.safetensors", self._provenance)
        if isinstance(self._matcher, FittedMatcher):
            self._partial.fit_features(self._matcher, _spread(len(records), FIT_MATCHER_KEYFRAMES))
        self._matcher.save(folder / "matcher.safetensors")
        if self._is_of_images:
            self.progress.without_depth = refine_depth(
                self._partial, self._matcher, lambda done: on_keyframes(len(records) + done)
            )
        cameras = self._partial.write_keyframes()
        self._partial.close_files()
        info = MapInfo(
            **FORMAT.header,
            map_frame=self.map_frame,
            keyframes=len(records),
            cameras=[camera.to_dict() for camera in cameras],
            network_digest=digest(network),
            matcher=self.settings.matcher,
            built=datetime.now(timezone.utc),
            source=self.source,
            settings=self.settings.model_dump(),
            skipped=self.progress.skipped.counts,
            package_version=__version__,
            files={
                name: FileRecord(bytes=(folder / name).stat().st_size, sha256=sha256_of(folder / name))
                for name in (*FILES, *OPTIONAL_FILES)
                if (folder / name).exists()
            },
        )
        (folder / "map.json").write_text(info.model_dump_json(indent=1) + "\n")

    def _describe(self, extractor: Extractor, on_keyframes: Callable[[int], None]) -> NDArray[np.float32]:
        """The keyframes' global descriptors (N, D); a network that is not fitted is fitted on them."""
        rows, count = self._partial.described_rows(), len(self._partial.records)
        if extractor.network.is_fitted:
            on_keyframes(count)
            return np.asarray(rows[0], np.float32)
        extractor.fit([one[i] for one in rows] for i in _spread(count, FIT_KEYFRAMES))
        self._provenance = {**self._provenance, "fitted_on": self.source}
        descriptors = np.zeros((count, extractor.network.config.global_size), np.float32)
        for i in range(count):
            descriptors[i] = extractor.describe([one[i].astype(np.float32) for one in rows])
            on_keyframes(i + 1)
        return descriptors

    def abandon(self) -> None:
        """Closes and unlocks an unfinished build: the next frame, or another builder, continues it."""
        self._partial.close()
        self._extractor = None


def _is_among(frame: Frame, earlier: Sequence[Frame | KeyframeRecord]) -> bool:
    """Whether a frame is one of the last ones again; cameras of a rig may take theirs at one instant."""
    together = takewhile(lambda one: one.stamp_ns == frame.stamp_ns, reversed(earlier))
    poses = [one.T_map_camera for one in together if one.T_map_camera is not None]
    return frame.T_map_camera is not None and any(np.array_equal(T, frame.T_map_camera) for T in poses)


def _spread(count: int, most: int) -> NDArray[np.intp]:
    """At most so many of the first `count` numbers, evenly spread."""
    return np.unique(np.linspace(0, count - 1, most).astype(np.intp))


def feed(builder: MapBuilder, traversal: Traversal) -> Iterator[Frame]:
    """Gives a builder the frames and scans of a traversal in order of time; yields each frame given."""
    items: Iterator[Frame | Scan] = heapq.merge(
        traversal.scans(), traversal.frames(), key=lambda item: item.stamp_ns
    )
    for item in items:
        if isinstance(item, Scan):
            builder.add_scan(item)
        else:
            builder.add_frame(item)
            yield item


def remove_partial(out: Path) -> None:
    """Removes what an unfinished build of the map `out` has left; anything else is kept."""
    partial = PartialFolder(out, KIND, error=MapError)
    if partial.take_up():
        partial.discard()
