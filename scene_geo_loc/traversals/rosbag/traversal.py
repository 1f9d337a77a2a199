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

"""Traversals of ROS recordings: images, cameras, poses, depth and lidar."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Collection, Iterator
from copy import copy
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.datum import Georeference
from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.geometry.rolling_shutter import ReadoutMotion
from scene_geo_loc.traversals.camera_files import read_camera_file
from scene_geo_loc.traversals.formats import OPTIONS, Content, Format, ImageFrame, SourceOptions
from scene_geo_loc.traversals.frame import Frame, PassOver, PassOverScan, Scan, read_all
from scene_geo_loc.traversals.messages.camera_info import CameraInfoSeries, WrongImageSize
from scene_geo_loc.traversals.messages.clouds import LIDAR_PACKETS, cloud_of, deskew
from scene_geo_loc.traversals.messages.images import ImageDecoder
from scene_geo_loc.traversals.messages.optical_frame import T_BODY_OPTICAL, is_optical_name, optical_frame
from scene_geo_loc.traversals.messages.transforms import frame_name
from scene_geo_loc.traversals.messages.video import VideoDecoder, VideoImage
from scene_geo_loc.traversals.rosbag.bag import SUFFIXES, Bag, BagMessage, is_bag
from scene_geo_loc.traversals.rosbag.index import CAMERA_INFO, BagIndex
from scene_geo_loc.traversals.rosbag.poses.bag_poses import BagPoses
from scene_geo_loc.traversals.rosbag.poses.choose_poses import NO_POSES, choose_poses
from scene_geo_loc.traversals.rosbag.poses.satellite import add_satellite_poses
from scene_geo_loc.traversals.rosbag.poses.visual_motion import VisualMotion
from scene_geo_loc.traversals.rosbag.runs import Runs
from scene_geo_loc.traversals.rosbag.satellite import best_satellite, georeference_by, satellite_source
from scene_geo_loc.traversals.rosbag.topics.camera_frame import axes_by_motion
from scene_geo_loc.traversals.rosbag.topics.camera_topics import (
    camera_topic,
    choose_depth,
    choose_image,
    has_camera,
)
from scene_geo_loc.traversals.rosbag.topics.chosen_topics import (
    camera_source,
    depth_source,
    image_source,
    lidar_source,
)
from scene_geo_loc.traversals.rosbag.topics.depth import DepthReader
from scene_geo_loc.traversals.rosbag.topics.lidars import choose_lidar
from scene_geo_loc.traversals.satellite import SatelliteFixes
from scene_geo_loc.traversals.skipped import Skipped, SkipReason
from scene_geo_loc.traversals.sources import summary_of
from scene_geo_loc.traversals.subset import WHOLE, Subset

if TYPE_CHECKING:
    from typing_extensions import Unpack

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Slot:
    """An image that becomes a frame: its index on its topic, and that of its depth image."""

    ordinal: int
    stamp_ns: int
    depth_ordinal: int | None
    T_map_camera: Pose | None
    T_odom_camera: Pose | None
    readout_motion: ReadoutMotion | None


class RosbagTraversal:
    """Frames and scans of a recording; see `scene_geo_loc.traversals.frame.Traversal`.

    The recording is read once for its small topics, and again for each iteration, so that memory
    does not grow with its length.

    Args:
        path: a .bag, .mcap or .db3 file, or the folder of a rosbag2.
        options: what to take where there are several of a kind: those of `SourceOptions` before `split`.

    Attributes:
        sources: what was taken for each role, and what else there was.

    Raises:
        TraversalError: the bag cannot be opened, or lacks images or their camera_info.
    """

    def __init__(self, path: Path, **options: Unpack[SourceOptions]) -> None:
        named = {option for option, value in options.items() if value is not None}
        self.name = str(path)
        self._bag = Bag(path)
        self._index = BagIndex(self._bag)
        self._image = choose_image(self._index, options.get("camera"))
        self._runs = Runs(path, self._image, options.get("run"))
        if len(self._runs) > 1:
            self._index = BagIndex(self._bag, self._runs.is_taken)
            self._image = self._index.images[self._image.topic]
        if self._image.video:
            self._video_decoder()  # refuses here what cannot be decoded later
        if (bits := options.get("bits")) is not None:
            self._image.decoder = ImageDecoder(bits)
        self._camera_topic, self._intrinsics = self._lens(options.get("camera_info"))
        self._intrinsics.readout_s = options.get("readout_time")
        first_camera = self._check_lens()
        self._readout_ns = round(first_camera.readout_s * 1e9)
        axes = _named_axes(options.get("image_frame"))
        self._camera_frame = self._image.frame_id
        if axes is None:
            self._camera_frame = optical_frame(self._index.tree, self._camera_frame, self._image.topic)
        self._depth = choose_depth(self._index, self._image, self._camera_frame, options.get("depth_topic"))
        self._read_depth: DepthReader | None = None
        if self._depth is not None:
            self._read_depth = DepthReader(self._index, self._depth, self._image.frame_id, self._camera_frame)
        lidar = choose_lidar(self._bag, options.get("points"))
        self._lidar = lidar.topic
        stamps = np.asarray(self._image.stamps_ns, np.int64)
        later = np.ones(len(stamps), bool)
        later[1:] = stamps[1:] > np.maximum.accumulate(stamps)[:-1]
        self._in_order = np.flatnonzero(later)
        in_order_ns = stamps[self._in_order]
        self._satellite_poses = add_satellite_poses(
            self._index, self._camera_frame, options.get("poses"), self._runs
        )
        with VisualMotion(self._bag, self._image, first_camera, self._in_order) as seen:
            choice = choose_poses(
                self._index,
                self._camera_frame,
                in_order_ns,
                seen,
                _possible_axes(axes, self._camera_frame),
                options.get("poses"),
                options.get("pose_frame"),
            )
            if axes is None and self._camera_frame == self._image.frame_id:
                axes = axes_by_motion(self._index, self._camera_frame, in_order_ns, choice.poses, seen)
        self._T_frame_camera = T_BODY_OPTICAL if axes is ImageFrame.BODY else np.eye(4)
        self._declined_poses = options.get("poses") == NO_POSES
        self._poses, self._odometry = choice.poses, choice.odometry
        self._poses_are_odometry = choice.are_odometry
        self.map_frame = self._poses.map_frame if self._poses else "map"
        satellites = list(self._index.satellites.values())
        self._satellite = best_satellite(satellites)
        self.sources = (
            *([self._runs.source()] if len(self._runs) > 1 else []),
            image_source(self._index, self._image, self._without_camera(), "camera" in named),
            camera_source(self._bag, self._camera_topic, named="camera_info" in named),
            choice.sources[0],
            depth_source(self._index, self._image, self._depth, "depth_topic" in named),
            lidar_source(self._bag, lidar, "points" in named),
            choice.sources[1],
            *([satellite_source(satellites, self._satellite)] if satellites else []),
        )
        if self._lidar is None:
            self._warn_of_packets()
        if choice.warning and axes is not ImageFrame.BODY:
            logger.warning("%s", choice.warning)
        self._select(WHOLE)
        logger.info("%s: %s", path, summary_of(self.sources))

    def __len__(self) -> int:
        return len(self._stamps)

    def subset(self, subset: Subset) -> RosbagTraversal:
        """Returns this traversal reduced to some of its frames and the scans around them."""
        selected = copy(self)
        selected._select(subset)
        return selected

    @cached_property
    def fixes(self) -> SatelliteFixes | None:
        """Satellite positions along the drive, None where there are none."""
        if self._satellite is None:
            return None
        return self._satellite.fixes(self._index.tree, self._camera_frame, self._T_frame_camera)

    @cached_property
    def georeference(self) -> Georeference | None:
        """Datum of the map by the satellite positions, None where they give none."""
        added = self._satellite_poses
        if added is not None and self._poses is not None and self._poses.origin == added.topic:
            return added.georeference
        if self.fixes is None or self._poses is None:
            return None
        return georeference_by(self.fixes, self._poses_of_camera, self.name)

    def _poses_of_camera(self, stamps_ns: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Returns `T_map_camera` (N, 4, 4) at stamps (N,), and a mask (N,) of the known ones."""
        assert self._poses is not None
        poses, known = self._poses.of(self._camera_frame, stamps_ns)
        return poses @ self._T_frame_camera, known

    def _messages(self, topics: Collection[str]) -> Iterator[BagMessage]:
        """Yields the messages of topics in the run that is taken."""
        messages = self._bag.messages(topics)
        return filter(self._runs.is_taken, messages) if len(self._runs) > 1 else messages

    def _without_camera(self) -> set[str]:
        topics = [topic for topic in self._index.images.values() if not topic.is_depth]
        return {topic.topic for topic in topics if not has_camera(self._index, topic)}

    def _select(self, subset: Subset) -> None:
        stamps = np.asarray(self._image.stamps_ns, np.int64)
        in_order = stamps[self._in_order]
        self._ordinals = self._in_order[subset.select(in_order)]
        self._stamps = stamps[self._ordinals]
        self._span = subset.span(in_order)
        self._skipped_frames = Skipped()
        self._skipped_scans = Skipped()

    @property
    def skipped(self) -> Skipped:
        """Counts of the items that the last iterations over frames and scans left out, by reason."""
        both = Skipped(dict(self._skipped_frames.counts))
        both.add_all(self._skipped_scans)
        return both

    def frames(self, pass_over: PassOver = read_all) -> Iterator[Frame]:
        """Yields the frames in order of time; see `Traversal.frames`.

        Raises:
            TraversalError: there are images, but none is usable.
        """
        self._skipped_frames = skipped = Skipped()
        if unordered := len(self._image.stamps_ns) - len(self._in_order):
            skipped.add(SkipReason.IMAGE_OUT_OF_ORDER, unordered)
        if self._index.invalid_poses:
            skipped.add(SkipReason.POSE_INVALID, self._index.invalid_poses)
        given, trouble = 0, ""
        for slot, image, depth in self._matched():
            if pass_over(slot.stamp_ns, slot.T_map_camera):
                given += 1
                continue
            try:
                frame = self._frame(slot, image, depth)
            except ValueError as error:
                trouble = str(error)
                continue
            if frame.T_map_camera is None and not self._declined_poses:
                skipped.add(SkipReason.IMAGE_WITHOUT_POSE)
            given += 1
            yield frame
        if trouble and not given:
            raise TraversalError(
                f"{self.name}: none of the images on {self._image.topic} is usable: {trouble}."
            )

    def scans(self, pass_over: PassOverScan = read_all) -> Iterator[Scan]:
        """Yields the lidar's sweeps in order of time, each point transformed by the pose at its own time.

        See `Traversal.scans`.
        """
        self._skipped_scans = skipped = Skipped()
        if self._lidar is None:
            return
        first, last = self._span
        for message in self._messages([self._lidar]):
            stamp = message.stamp_ns
            if not first <= stamp <= last or pass_over(stamp):
                continue
            try:
                decoded = message.decode()
                cloud = cloud_of(decoded)
            except ValueError:
                skipped.add(SkipReason.SCAN_UNDECODABLE)
                continue
            if len(cloud) == 0:
                skipped.add(SkipReason.SCAN_EMPTY)
                continue
            if self._poses is None:
                skipped.add(SkipReason.SCAN_WITHOUT_POSE)
                continue
            points = deskew(cloud, stamp, partial(self._poses.of, frame_name(decoded.header.frame_id)))
            if len(points) == 0:
                skipped.add(SkipReason.SCAN_WITHOUT_POSE)
                continue
            yield Scan(stamp, points)

    def _frame(self, slot: _Slot, image: BagMessage | VideoImage, depth: BagMessage | None) -> Frame:
        """Decodes an image and its depth. Raises ValueError, and counts it, where the image is unusable."""
        try:
            pixels = self._image.decoder(image.decode())
        except ValueError:
            self._skipped_frames.add(SkipReason.IMAGE_UNDECODABLE)
            raise
        try:
            camera = self._intrinsics.camera_at(
                slot.stamp_ns, rectified=self._image.is_rectified, size=(pixels.shape[1], pixels.shape[0])
            )
        except ValueError as error:
            size_differs = isinstance(error, WrongImageSize)
            self._skipped_frames.add(
                SkipReason.IMAGE_SIZE_OF_INFO if size_differs else SkipReason.CAMERA_INFO_UNUSABLE
            )
            raise
        depth_map = None
        if depth is not None and self._read_depth is not None:
            try:
                depth_map = self._read_depth(depth.decode(), slot.stamp_ns, camera)
            except ValueError as error:
                if SkipReason.DEPTH_UNDECODABLE.value not in self._skipped_frames.counts:
                    logger.warning("%s: a depth image on %s: %s", self.name, depth.topic, error)
                self._skipped_frames.add(SkipReason.DEPTH_UNDECODABLE)
        name = f"{self._image.topic} at {slot.stamp_ns / 1e9:.3f} s"
        return Frame(
            slot.stamp_ns,
            pixels,
            camera,
            slot.T_map_camera,
            depth_map,
            name,
            slot.T_odom_camera,
            readout_motion=slot.readout_motion,
        )

    def _video_decoder(self) -> VideoDecoder:
        """Returns a new decoder of the images' video. Raises TraversalError."""
        try:
            return VideoDecoder(self._image.video)
        except ValueError as error:
            raise TraversalError(
                f"{self.name}: the images on {self._image.topic} are {self._image.video} video: {error}."
            ) from error

    def _lens(self, wanted: str | None) -> tuple[str, CameraInfoSeries]:
        """Returns the topic or the file of the intrinsics, and the intrinsics. Raises TraversalError."""
        if wanted is None:
            topic = camera_topic(self._index, self._image)
            return topic, self._index.camera_infos[topic]
        if len(self._index.camera_infos.get(wanted, ())):
            return wanted, self._index.camera_infos[wanted]
        if Path(wanted).is_file():
            return wanted, CameraInfoSeries.fixed(read_camera_file(Path(wanted), self._image.topic))
        there = ", ".join(self._bag.of_kind(CAMERA_INFO)) or "none"
        raise TraversalError(
            f"{self.name}: {wanted!r} is neither a file nor a topic of camera_info; topics of camera_info in "
            f"the bag: {there}."
        )

    def _warn_of_packets(self) -> None:
        for topic in self._bag.of_kind(*LIDAR_PACKETS):
            kind = self._bag.topics[topic]
            logger.warning(
                "%s: %s has packets of a lidar (%s), not points; make a PointCloud2 of them with %s",
                self.name,
                topic,
                kind,
                LIDAR_PACKETS[kind],
            )

    def _check_lens(self) -> Camera:
        """Returns the camera of the first image; warns where it is unusual. Raises TraversalError."""
        stamp_ns, rectified = int(self._image.stamps_ns[0]), self._image.is_rectified
        first = self._intrinsics.at(stamp_ns)
        size = None if first.width else self._image.size
        try:
            camera = self._intrinsics.camera_at(stamp_ns, rectified=rectified, size=size)
            doubt = first.doubt(rectified=rectified, size=size)
        except ValueError as error:
            raise TraversalError(f"{self.name}, {self._camera_topic}: {error}.") from error
        if doubt:
            logger.warning("%s, %s: %s", self.name, self._camera_topic, doubt)
        return camera

    def _slots(self) -> dict[int, _Slot]:
        poses, odometry = self._camera_poses(self._poses), self._camera_poses(self._odometry)
        motions = self._readout_motions(poses, odometry)
        depths: list[int | None] = [None] * len(self)
        if self._depth and len(self._image.stamps_ns) > 1:
            depths = _nearest(
                self._stamps,
                np.asarray(self._depth.stamps_ns, np.int64),
                np.median(np.abs(np.diff(np.asarray(self._image.stamps_ns, np.int64)))) / 2,
            )
        return {
            int(ordinal): _Slot(
                int(ordinal), int(self._stamps[i]), depths[i], poses[i], odometry[i], motions[i]
            )
            for i, ordinal in enumerate(self._ordinals)
        }

    def _readout_motions(
        self, poses: list[Pose | None], odometry: list[Pose | None]
    ) -> list[ReadoutMotion | None]:
        """Returns the motion during each image of a rolling shutter, None where it is not known."""
        motions: list[ReadoutMotion | None] = [None] * len(self)
        if not self._readout_ns:
            return motions
        later_ns = self._stamps + self._readout_ns
        sources = ((self._odometry, odometry, True), (self._poses, poses, self._poses_are_odometry))
        for source, first, by_odometry in sources:
            if source is None:
                continue
            last, known = source.of(self._camera_frame, later_ns)
            last = last @ self._T_frame_camera
            for i, T in enumerate(first):
                if motions[i] is None and T is not None and known[i]:
                    motions[i] = ReadoutMotion.of(T, last[i], by_odometry=by_odometry)
        lacking = sum(motion is None or not motion.by_odometry for motion in motions)
        if lacking:
            logger.warning(
                "%s: %d of %d images of a rolling shutter have no odometry at their last row, %.1f ms after "
                "the first: they are localized as if all rows had one pose",
                self.name,
                lacking,
                len(self),
                self._readout_ns / 1e6,
            )
        return motions

    def _camera_poses(self, source: BagPoses | None) -> list[Pose | None]:
        """Returns the camera's pose at each frame, None where the source has none."""
        if source is None:
            return [None] * len(self)
        poses, known = source.of(self._camera_frame, self._stamps)
        poses = poses @ self._T_frame_camera
        unknown = np.flatnonzero(~known)
        if len(unknown) and source is self._poses:
            middle = int(self._stamps[unknown[len(unknown) // 2]])
            logger.warning(
                "%s: %d of %d images have no pose, such as the one at %.3f s: %s",
                self.name,
                len(unknown),
                len(self),
                middle / 1e9,
                source.why_unknown(self._camera_frame, middle),
            )
        return [pose if is_known else None for pose, is_known in zip(poses, known, strict=True)]

    def _matched(self) -> Iterator[tuple[_Slot, BagMessage | VideoImage, BagMessage | None]]:
        """Yields the images in order, each with its depth image, which may be recorded before or after it."""
        slots = self._slots()
        needed = {slot.depth_ordinal for slot in slots.values() if slot.depth_ordinal is not None}
        waiting: deque[tuple[_Slot, BagMessage | VideoImage]] = deque()
        video = self._video_decoder() if self._image.video else None
        depths: dict[int, BagMessage] = {}
        seen = {topic.topic: 0 for topic in (self._image, self._depth) if topic}
        for message in self._messages(seen):
            ordinal = seen[message.topic]
            seen[message.topic] += 1
            if message.topic == self._image.topic and video is not None:
                waiting.extend(_of_slots(slots, video.feed(ordinal, message.decode())))
            elif message.topic == self._image.topic and ordinal in slots:
                waiting.append((slots[ordinal], message))
            elif message.topic != self._image.topic and ordinal in needed:
                depths[ordinal] = message
            while waiting and (waiting[0][0].depth_ordinal is None or waiting[0][0].depth_ordinal in depths):
                slot, image = waiting.popleft()
                yield slot, image, None if slot.depth_ordinal is None else depths[slot.depth_ordinal]
                for used in [key for key in depths if key < (slot.depth_ordinal or 0)]:
                    del depths[used]
        if video is not None:
            waiting.extend(_of_slots(slots, video.finish()))
        for slot, image in waiting:  # their depth images are missing at the damaged end of the bag
            yield slot, image, None


FORMAT = Format(
    layout=f"a {', '.join(SUFFIXES)} file or a folder with one",
    recognise=is_bag,
    open=RosbagTraversal,
    content=(Content.POSES, Content.DEPTH, Content.LIDAR),
    options=OPTIONS[: OPTIONS.index("split")],
)


def _of_slots(
    slots: dict[int, _Slot], images: list[tuple[int, VideoImage]]
) -> list[tuple[_Slot, VideoImage]]:
    return [(slots[number], image) for number, image in images if number in slots]


def _named_axes(image_frame: str | None) -> ImageFrame | None:
    if image_frame not in (None, *(axes.value for axes in ImageFrame)):
        raise TraversalError(f"the frame of images is {' or '.join(ImageFrame)}, not {image_frame!r}.")
    return None if image_frame is None else ImageFrame(image_frame)


def _possible_axes(axes: ImageFrame | None, frame: str) -> list[Pose]:
    """Returns the poses in the images' frame that their optical frame may have."""
    if axes is ImageFrame.BODY:
        return [T_BODY_OPTICAL]
    return [np.eye(4)] if axes or is_optical_name(frame) else [np.eye(4), T_BODY_OPTICAL]


def _nearest(
    stamps_ns: NDArray[np.int64], others_ns: NDArray[np.int64], tolerance_ns: float
) -> list[int | None]:
    """Returns for each stamp the index of the nearest other stamp, or None beyond the tolerance."""
    if len(others_ns) == 0:
        return [None] * len(stamps_ns)
    order = np.argsort(others_ns, kind="stable")
    sorted_ns = others_ns[order]
    after = np.clip(np.searchsorted(sorted_ns, stamps_ns), 1, max(len(sorted_ns) - 1, 1))
    before = after - 1
    after = np.minimum(after, len(sorted_ns) - 1)
    nearer_before = stamps_ns - sorted_ns[before] <= np.abs(sorted_ns[after] - stamps_ns)
    best = np.where(nearer_before, before, after)
    near = np.abs(sorted_ns[best] - stamps_ns) <= tolerance_ns
    return [int(order[i]) if good else None for i, good in zip(best, near, strict=True)]
