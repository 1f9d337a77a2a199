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

"""Snapshots of images that were not localized, for a person who wants to see why."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.localization.match_picture import match_picture

if TYPE_CHECKING:
    from scene_geo_loc.localization.estimate import PosePrior
    from scene_geo_loc.localization.query import CameraImage
    from scene_geo_loc.localization.session import Answer
    from scene_geo_loc.mapping.reference_map import AnyMap

PERIOD_S = 1.0
"""Least time between two snapshots."""
MOST = 1000
"""Most snapshots in a folder, however small."""
FACTS = "snapshot.json"
_NAME = re.compile(r"\d+_[a-z_]+")
_UNFINISHED = re.compile(r"\.\d+_[a-z_]+\.partial")


class FailureSnapshots:
    """Writes at most one snapshot a second to a folder, and removes the oldest beyond a limit.

    A snapshot is a folder `STAMP_KIND`, with the stamp in nanoseconds and the kind of the reason.  It is
    written aside and renamed.  It holds each camera's image as it was decoded (`image.png`, `image_1.png`,
    ...), the image beside its best keyframe (`matches.jpg`), and in `snapshot.json` the reason, cameras,
    candidates, prior and map.

    Args:
        folder: where snapshots are; other files in it are left alone.
        limit_bytes: of all snapshots together.

    Raises SceneGeoLocError where the folder cannot be made.
    """

    def __init__(self, folder: Path, limit_bytes: int, reference_map: AnyMap) -> None:
        self._folder, self._limit_bytes, self._map = folder, limit_bytes, reference_map
        self._written_s: float | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for left in (path for path in folder.iterdir() if _UNFINISHED.fullmatch(path.name)):
                shutil.rmtree(left)
            self._sizes = {
                path: _size(path)
                for path in sorted(folder.iterdir(), key=_stamp)
                if _NAME.fullmatch(path.name) and (path / FACTS).is_file()
            }
        except OSError as error:
            raise SceneGeoLocError(
                f"{folder} cannot be written ({error.strerror}): set debug_dir to another folder, or to none."
            ) from error

    def exchange_map(self, reference_map: AnyMap) -> None:
        """Goes on with a new version of the map."""
        self._map = reference_map

    def add(
        self,
        stamp_ns: int,
        camera_frame: str,
        images: Sequence[CameraImage],
        answer: Answer,
        prior: PosePrior | None,
    ) -> None:
        """Writes the snapshot of an image, unless one was written within the last second.

        Args:
            images: of all cameras, the first one's first.
            prior: what restricted the search for it, or None.

        Raises OSError where it cannot be written.
        """
        now_s = time.monotonic()
        if self._written_s is not None and now_s - self._written_s < PERIOD_S:
            return
        self._written_s = now_s
        kind = answer.pose.kind or answer.estimate.kind
        name = f"{stamp_ns}_{kind.value if kind is not None else 'unknown'}"
        aside, target = self._folder / f".{name}.partial", self._folder / name
        try:
            aside.mkdir()
            for i, image in enumerate(images):
                _write(aside / ("image.png" if i == 0 else f"image_{i}.png"), image.image)
            _write(aside / "matches.jpg", match_picture(images[0].image, answer.estimate, self._map))
            facts = self._facts(stamp_ns, camera_frame, images, answer, prior)
            (aside / FACTS).write_text(json.dumps(facts, indent=2) + "\n")
            self._remove(target)
            aside.rename(target)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        self._sizes[target] = _size(target)
        while sum(self._sizes.values()) > self._limit_bytes or len(self._sizes) > MOST:
            self._remove(next(iter(self._sizes)))

    def _remove(self, path: Path) -> None:
        if self._sizes.pop(path, None) is not None:
            with suppress(FileNotFoundError):
                shutil.rmtree(path)

    def _facts(
        self,
        stamp_ns: int,
        camera_frame: str,
        images: Sequence[CameraImage],
        answer: Answer,
        prior: PosePrior | None,
    ) -> dict[str, Any]:
        estimate = answer.estimate
        return {
            "stamp_ns": stamp_ns,
            "camera_frame": camera_frame,
            "map": str(self._map.path),
            "status": answer.pose.status.value,
            "reason": answer.pose.reason,
            "reason_of_image": estimate.reason,
            "inliers": estimate.inliers,
            "inlier_ratio": estimate.inlier_ratio,
            "confidence": estimate.confidence,
            "T_map_camera": None if estimate.T_map_base is None else estimate.T_map_base.tolist(),
            "prior": None
            if prior is None
            else {
                "T_map_camera": prior.T_map_camera.tolist(),
                "radius_m": prior.radius_m,
                "is_height_known": prior.is_height_known,
            },
            "cameras": [
                asdict(image.camera) | {"T_first_camera": image.T_base_camera.tolist()} for image in images
            ],
            "candidates": [asdict(candidate) for candidate in estimate.candidates],
        }


def _write(path: Path, image: Any) -> None:
    fast = [cv2.IMWRITE_PNG_COMPRESSION, 1] if path.suffix == ".png" else []
    if not cv2.imwrite(str(path), image[..., ::-1], fast):
        raise OSError(None, "the disk may be full", str(path))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def _stamp(path: Path) -> int:
    number = path.name.partition("_")[0]
    return int(number) if number.isdecimal() else -1
