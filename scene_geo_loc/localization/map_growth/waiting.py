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

"""Images that wait on the disk to become keyframes, and the way that they were taken on.

They are in the folder `<map>.waiting`: each image in a file, and a journal of what is known of it.  A kill
loses what was not handed to the operating system yet; whole lines of the journal are read again.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import MapError, SceneGeoLocError
from scene_geo_loc.core.journal import Journal
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.geometry.rolling_shutter import ReadoutMotion
from scene_geo_loc.localization.map_growth.bridging import Fix, Waypoint
from scene_geo_loc.mapping.map_info import MapInfo
from scene_geo_loc.traversals.frame import Frame

FOLDER_SUFFIX = ".waiting"
_LINES = 5000
"""Lines of the journal beyond which it is written anew."""
_POSES = ("T_map_camera", "T_base_camera", "T_image_last")
_FAST_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1]


@dataclass(frozen=True)
class WaitingImage:
    """An image that may become a keyframe.

    Attributes:
        name: name of the keyframe, unique in the map.
        stamp_ns: time of the image.
        camera: camera of the image.
        file: name of its file in the folder; its depth, if any, is in the same with `.npy`.
        T_map_camera: its pose; None until there are fixes around it.
        T_base_camera: pose of its camera in the base whose way is known; None: it is the base.
        T_image_last: pose of the camera at the last row of a rolling shutter, in that at the first row, which
            has the image's time; None: all rows were exposed at once.
    """

    name: str
    stamp_ns: int
    camera: Camera
    file: str
    T_map_camera: Pose | None = None
    T_base_camera: Pose | None = None
    T_image_last: Pose | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values."""
        poses = {name: None if (T := getattr(self, name)) is None else T.tolist() for name in _POSES}
        return {**vars(self), "camera": self.camera.to_dict(), **poses}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> WaitingImage:
        """Returns the image of JSON values. Raises ValueError, TypeError or KeyError."""
        found = {name: values.get(name) for name in _POSES}
        poses = {name: None if T is None else _matrix(T, 4) for name, T in found.items()}
        return cls(**{**values, "camera": Camera.from_dict(values["camera"]), **poses})

    def placed_by(self, T_map_base: Pose) -> Pose:
        """Returns the pose of the image from that of the base."""
        return T_map_base if self.T_base_camera is None else T_map_base @ self.T_base_camera

    def read(self, folder: Path) -> Frame | None:
        """Returns the image with its depth, or None where its file is damaged."""
        picture = cv2.imread(str(folder / self.file), cv2.IMREAD_COLOR)
        if picture is None or picture.shape[:2] != (self.camera.height, self.camera.width):
            return None
        depth, file = None, folder / f"{self.file}.npy"
        if file.exists():
            try:
                depth = np.load(file, allow_pickle=False)
            except (OSError, ValueError):
                return None
        image = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)
        last = self.T_image_last
        motion = None if last is None else ReadoutMotion(np.eye(4), last)
        return Frame(
            self.stamp_ns, image, self.camera, self.T_map_camera, depth, self.name, readout_motion=motion
        )


class WaitingImages:
    """The images that wait for a map.

    Attributes:
        folder: where they are.
        way: the last images on the way, in order of time, with their poses by odometry.
        images: the images, in order of time, by name.
    """

    def __init__(self, map_folder: Path, info: MapInfo, folder: Path | None = None) -> None:
        """Takes up what an earlier process has left.

        Args:
            map_folder: the map.
            info: its description.
            folder: where the images are; default: `<map>.waiting`.

        Raises MapError where the folder holds images for another map, or cannot be written.
        """
        self.folder = folder or map_folder.with_name(map_folder.name + FOLDER_SUFFIX)
        self.way: list[Waypoint] = []
        self.images: dict[str, WaitingImage] = {}
        self._unwritten: list[Waypoint] = []
        self._is_torn = False
        # Keyframes of the first drive stay the first ones, however a map is extended or pruned.
        first = info.all_drives[0]
        head = {
            "map_frame": info.map_frame,
            "network": info.network_digest,
            "drive": f"{first.source}, {first.built.isoformat()}",
        }
        self._journal: Journal[dict[str, Any]] = Journal(self.folder / "journal.jsonl", _checked)
        if self._journal.head not in (None, head):
            raise MapError(
                f"{self.folder} holds images that wait for another map than {map_folder}: move that folder "
                "away."
            )
        for event in self._journal.records:
            self._apply(event)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._remove_unknown_files()
            self._head = head
            self._write_anew()
        except OSError as error:
            raise MapError(f"{self.folder} cannot be written: {error.strerror or error}.") from error

    @property
    def unplaced(self) -> list[WaitingImage]:
        """Images without a pose."""
        return [image for image in self.images.values() if image.T_map_camera is None]

    @property
    def placed(self) -> list[WaitingImage]:
        """Images with a pose, which can be built."""
        return [image for image in self.images.values() if image.T_map_camera is not None]

    def add_waypoint(self, waypoint: Waypoint) -> None:
        """Adds a pose of the base to the way. It is written as soon as an image waits for its pose."""
        self.way.append(waypoint)
        self._unwritten.append(waypoint)
        if self.unplaced:
            self._write_way()

    def add_image(self, frame: Frame, T_base_camera: Pose | None = None) -> None:
        """Writes an image of the way. Raises OSError where the disk is full.

        Args:
            frame: the image; its poses are not used.
            T_base_camera: pose of its camera in the base; None: it is the base.
        """
        motion, file = frame.readout_motion, f"{frame.name.rpartition('/')[2]}.png"
        image = WaitingImage(
            frame.name,
            frame.stamp_ns,
            frame.camera,
            file,
            T_base_camera=T_base_camera,
            T_image_last=None if motion is None else motion.T_image_last,
        )
        try:
            if not cv2.imwrite(
                str(self.folder / file), cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR), _FAST_PNG
            ):
                raise OSError("no space left on the disk")
            if frame.depth is not None:
                np.save(self.folder / f"{file}.npy", frame.depth, allow_pickle=False)
            self._write_way()
            self._append({"event": "image", **image.to_dict()})
        except OSError:
            self.images.pop(frame.name, None)
            self._remove_files(image)
            raise

    def place(self, image: WaitingImage, T_map_base: Pose) -> None:
        """Gives an image its pose by that of the base."""
        name, T_map_camera = image.name, image.placed_by(T_map_base)
        self._append({"event": "placed", "name": name, "T_map_camera": T_map_camera.tolist()})

    def remove(self, names: Collection[str]) -> None:
        """Removes images: they are built, or dropped."""
        gone = [self.images[name] for name in names if name in self.images]
        if gone:
            self._append({"event": "gone", "names": [image.name for image in gone]})
        for image in gone:
            self._remove_files(image)

    def forget_way(self, keeps: int) -> None:
        """Forgets all but the last images of the way."""
        if len(self.way) > keeps:
            self.way = self.way[len(self.way) - keeps :]
            written = max(keeps - len(self._unwritten), 0)
            self._unwritten = self._unwritten[max(len(self._unwritten) - keeps, 0) :]
            self._append({"event": "forget", "keeps": written}, is_known=True)

    def close(self) -> None:
        """Closes the journal, and removes the folder where nothing waits."""
        self._journal.close()
        if not self.images:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _write_way(self) -> None:
        while self._unwritten:
            self._append(_way_event(self._unwritten.pop(0)), is_known=True)

    def _append(self, event: dict[str, Any], *, is_known: bool = False) -> None:
        """Adds an event to the state and to the journal. Raises OSError where the disk is full."""
        if not is_known:
            self._apply(event)
        try:
            if self._is_torn or len(self._journal.records) > _LINES:
                self._write_anew()
            else:
                self._journal.append(event)
        except OSError:
            self._is_torn = True
            raise

    def _write_anew(self) -> None:
        """Writes the journal of the present state in place of the old one. Raises OSError."""
        self._is_torn = True
        self._journal.close()
        events = [*map(_way_event, self.way[: len(self.way) - len(self._unwritten)])]
        events += [{"event": "image", **image.to_dict()} for image in self.images.values()]
        self._journal.records[:] = events
        try:
            self._journal.open(self._head, lambda event: event)
        except SceneGeoLocError as error:
            raise error.__cause__ if isinstance(error.__cause__, OSError) else OSError(str(error)) from error
        self._is_torn = False

    def _apply(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind == "way":
            self.way.append(_waypoint_of(event))
        elif kind == "image":
            image = WaitingImage.from_dict({k: v for k, v in event.items() if k != "event"})
            self.images[image.name] = image
        elif kind == "placed":
            T = np.array(event["T_map_camera"], np.float64)
            self.images[event["name"]] = replace(self.images[event["name"]], T_map_camera=T)
        elif kind == "gone":
            for name in event["names"]:
                self.images.pop(name, None)
        elif kind == "forget":
            self.way = self.way[max(len(self.way) - event["keeps"], 0) :]

    def _remove_unknown_files(self) -> None:
        """Removes the files of images that a killed process did not write into the journal."""
        known = {self._journal.path.name}
        known |= {name for image in self.images.values() for name in (image.file, f"{image.file}.npy")}
        for file in self.folder.iterdir():
            if file.name not in known and file.suffix in (".png", ".npy"):
                file.unlink()

    def _remove_files(self, image: WaitingImage) -> None:
        for name in (image.file, f"{image.file}.npy"):
            (self.folder / name).unlink(missing_ok=True)


def frames_of(images: Sequence[WaitingImage], folder: Path) -> Iterator[Frame]:
    """Yields the images whose files are whole, in order of time."""
    for image in sorted(images, key=lambda image: image.stamp_ns):
        frame = image.read(folder)
        if frame is not None:
            yield frame


def _way_event(waypoint: Waypoint) -> dict[str, Any]:
    fix = waypoint.fix
    return {
        "event": "way",
        "stamp_ns": waypoint.stamp_ns,
        "T_odom_camera": waypoint.T_odom_camera.tolist(),
        "fix": None if fix is None else [fix.T_map_camera.tolist(), fix.covariance.tolist()],
    }


def _waypoint_of(event: dict[str, Any]) -> Waypoint:
    fix = event["fix"]
    return Waypoint(
        event["stamp_ns"],
        _matrix(event["T_odom_camera"], 4),
        None if fix is None else Fix(_matrix(fix[0], 4), _matrix(fix[1], 6)),
    )


def _matrix(values: Any, side: int) -> NDArray[np.float64]:
    return np.array(values, np.float64).reshape(side, side)


def _checked(values: Any) -> dict[str, Any]:
    """Returns an event of the journal. Raises ValueError, TypeError or KeyError where it is damaged."""
    if values["event"] == "way":
        _waypoint_of(values)
    elif values["event"] == "image":
        WaitingImage.from_dict({k: v for k, v in values.items() if k != "event"})
    elif values["event"] == "placed":
        _matrix(values["T_map_camera"], 4)
    return dict(values)
