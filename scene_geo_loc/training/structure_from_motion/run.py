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

"""Reconstructs the place of a source, measures how well images left out are localized, and writes the map."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel
from safetensors import SafetensorError

from scene_geo_loc.core.atomic import write_json, written_aside
from scene_geo_loc.core.errors import SceneGeoLocError, reason_of
from scene_geo_loc.core.parallel import ReadAhead
from scene_geo_loc.core.partial import PartialFolder
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.lie import difference
from scene_geo_loc.geometry.pose import Pose, position_error_m, rotation_error_deg
from scene_geo_loc.localization.structure_from_motion.localizer import PointLocalizer, ReadImage
from scene_geo_loc.localization.uncertainty.covariance import RESIDUALS_ONLY
from scene_geo_loc.localization.uncertainty.self_measurement import accuracy_of
from scene_geo_loc.mapping.keyframes import KeyframeSelector
from scene_geo_loc.mapping.localizer_names import STRUCTURE_FROM_MOTION
from scene_geo_loc.mapping.map_info import KIND, POINT_DESCRIPTORS, POINTS, MapAccuracy
from scene_geo_loc.mapping.partial_map import thumbnail_of
from scene_geo_loc.mapping.structure_from_motion.features import (
    PointFeatures,
    extract_points,
    working_camera,
)
from scene_geo_loc.mapping.structure_from_motion.pairs import epipolar_matches, neighbour_pairs
from scene_geo_loc.mapping.structure_from_motion.point_map import Description, PointMap
from scene_geo_loc.mapping.structure_from_motion.reconstruction import (
    MatchedImages,
    Reconstruction,
    check_available,
    reconstruct,
)
from scene_geo_loc.training.common.callbacks import NoCallback, RunCallback
from scene_geo_loc.training.common.localizer_map import Keyframes, new_map_folder, write_localizer_map
from scene_geo_loc.training.structure_from_motion.settings import SYSTEM, ReconstructionProtocol
from scene_geo_loc.traversals.frame import Frame, Traversal

MIN_IMAGES = 8
"""Fewer images than this are refused."""
MIN_EXTENT_M = 0.02
"""Positions within a box of this diagonal give no depth."""
MIN_VALIDATED = 5
"""Fewest localized images that the accuracy of the map is taken from."""
CONFIG, RESULT = "config.json", "result.json"
_TIMED_PAIRS = 3


@dataclass
class PlaceFeatures:
    """Features and poses of the images of a place.

    Attributes:
        features, cameras, thumbnails: of each image; cameras at the working size, without distortion.
        poses: T_map_camera of each.
        left_out: number of images without a pose.
        seconds: time that the features took.
    """

    features: list[PointFeatures] = field(default_factory=list)
    cameras: list[Camera] = field(default_factory=list)
    thumbnails: list[bytes] = field(default_factory=list)
    poses: list[Pose] = field(default_factory=list)
    left_out: int = 0
    seconds: float = 0.0

    @property
    def T_map_camera(self) -> NDArray[np.float64]:
        """Poses (N, 4, 4)."""
        return np.stack(self.poses)


def reconstruct_map(
    traversal: Traversal,
    out: Path,
    protocol: ReconstructionProtocol,
    *,
    overwrite: bool = False,
    callback: RunCallback | None = None,
) -> dict[str, Any]:
    """Reconstructs a place, and writes a map that is opened like any other.

    `OUT.run` holds the features and the matches; a reconstruction that was interrupted is resumed.

    Args:
        traversal: posed images of the place.
        out: folder of the map.
        protocol: how it is reconstructed.
        overwrite: whether a map at `out` is replaced.
        callback: receives the progress.

    Returns:
        Numbers on the points and on the images left out to validate.

    Raises SceneGeoLocError if pycolmap is not installed, if the images do not suffice, or if a folder holds
    something else.
    """
    check_available()
    output = new_map_folder(out, overwrite)
    callback = callback or NoCallback()
    run = out.with_name(f"{out.name}.run")
    _begin_run(
        run, {"system": SYSTEM, "source": traversal.name, "protocol": protocol.model_dump(mode="json")}
    )
    place = _read(traversal, run / "features", protocol, callback)
    _check(place, traversal.name)
    images = MatchedImages(
        place.features,
        place.cameras,
        place.T_map_camera,
        _matches(place, run / "matches", protocol, callback),
    )
    callback.on_stage(
        "Triangulating the points of all images but every "
        f"{protocol.validation_every}th, which measure the map."
    )
    measured, accuracy = _validate(images, traversal, protocol)
    callback.on_stage("Triangulating the points of all images.")
    found = reconstruct(images, protocol.adjust)
    _write(output, found, images, place.thumbnails, traversal, protocol, accuracy, overwrite)
    result = {
        "images": len(place.features),
        "points": len(found.points),
        "track_length": found.track_length,
        "error_px": found.error_px,
        **measured,
    }
    write_json(run / RESULT, result)
    return result


def train_point_map(
    traversal: Traversal,
    out: Path,
    system: str,
    protocol: BaseModel,
    *,
    device: str,
    overwrite: bool,
    callback: RunCallback,
) -> Sequence[str]:
    """See `LocalizerTrainer`; there is nothing to run on a device."""
    assert isinstance(protocol, ReconstructionProtocol)
    result = reconstruct_map(traversal, out, protocol, overwrite=overwrite, callback=callback)
    points = (
        f"{result['points']} points of {result['images']} images, each seen by {result['track_length']:.1f} "
        f"of them, with a mean reprojection error of {result['error_px']:.2f} px."
    )
    localized = f"{result['localized']} of {result['validated']} images left out are localized"
    if result["localized"]:
        localized += f", medians {result['position_m']:.3f} m and {result['rotation_deg']:.2f}°"
    return points, f"{localized}."


def _begin_run(run: Path, config: dict[str, Any]) -> None:
    """Makes the run folder. Raises SceneGeoLocError where it holds something else."""
    path = run / CONFIG
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        if run.is_dir() and any(run.iterdir()):
            raise SceneGeoLocError(
                f"{run} is not empty and holds no reconstruction: name a new folder."
            ) from None
        run.mkdir(parents=True, exist_ok=True)
        write_json(path, config)
        return
    except (OSError, ValueError) as error:
        raise SceneGeoLocError(f"{path} cannot be read ({reason_of(error)}): name a new folder.") from error
    if found != config:
        raise SceneGeoLocError(
            f"{run} holds the reconstruction of another source or with other settings: name a new folder, or "
            "resume that one with its own."
        )


def _read(
    traversal: Traversal, folder: Path, protocol: ReconstructionProtocol, callback: RunCallback
) -> PlaceFeatures:
    """Returns the features of the keyframes of a traversal, those in the folder as they are."""
    place = PlaceFeatures()
    selector = KeyframeSelector(protocol.keyframe_distance_m, protocol.keyframe_angle_deg)
    folder.mkdir(exist_ok=True)
    total, begin = len(traversal), time.monotonic()

    def chosen() -> Any:
        number = 0
        for seen, frame in enumerate(traversal.frames(), start=1):
            on_read(min(seen, total), total)
            if frame.T_map_camera is None:
                place.left_out += 1
            elif selector.accept(frame.T_map_camera):
                yield number, frame
                number += 1

    def features(numbered: tuple[int, Frame]) -> tuple[PointFeatures, Camera, bytes, Pose]:
        number, frame = numbered
        assert frame.T_map_camera is not None
        camera, path = working_camera(frame.camera, protocol.image_width), folder / f"{number:06}.safetensors"
        found = _cached_features(path)
        if found is None:
            found = extract_points(frame.image, camera, protocol.features, frame.visible)
            found.save(path)
        ideal = replace(camera, model="none", distortion=())
        return found, ideal, thumbnail_of(frame.image), frame.T_map_camera

    with callback.packing("detecting features") as on_read, ReadAhead() as ahead:
        for found, camera, thumbnail, pose in ahead.map(features, chosen()):
            place.features.append(found)
            place.cameras.append(camera)
            place.thumbnails.append(thumbnail)
            place.poses.append(pose)
    place.seconds = time.monotonic() - begin
    return place


def _cached_features(path: Path) -> PointFeatures | None:
    try:
        return PointFeatures.read(path)
    except (OSError, SafetensorError, KeyError):
        return None


def _check(place: PlaceFeatures, name: str) -> None:
    """Raises SceneGeoLocError where there are too few images, or where they are all at one place."""
    count = len(place.features)
    if count < MIN_IMAGES:
        poses = f", and {place.left_out} without" if place.left_out else ""
        raise SceneGeoLocError(
            f"{name}: {count} images at different poses{poses} < {MIN_IMAGES}: name a longer source, or keep "
            "images that are nearer to each other."
        )
    extent_m = float(np.linalg.norm(np.ptp(place.T_map_camera[:, :3, 3], axis=0)))
    if extent_m < MIN_EXTENT_M:
        raise SceneGeoLocError(
            f"{name}: all positions are within {100 * extent_m:.2g} cm, from where nothing can be "
            "triangulated: name a source whose camera moves."
        )


def _matches(
    place: PlaceFeatures, folder: Path, protocol: ReconstructionProtocol, callback: RunCallback
) -> dict[tuple[int, int], NDArray[np.intp]]:
    """Returns the matches of neighbouring images, those in the folder as they are.

    Says first how long they take, and how much memory.
    Raises SceneGeoLocError if nothing matches.
    """
    folder.mkdir(exist_ok=True)
    pairs = [(int(i), int(j)) for i, j in neighbour_pairs(place.T_map_camera, protocol.neighbours)]

    def match(pair: tuple[int, int]) -> NDArray[np.intp]:
        path = folder / f"{pair[0]:06}-{pair[1]:06}.npy"
        try:
            return np.asarray(np.load(path, allow_pickle=False))
        except (OSError, ValueError):
            i, j = pair
            found = epipolar_matches(
                (place.features[i], place.features[j]),
                (place.cameras[i], place.cameras[j]),
                (place.poses[i], place.poses[j]),
                protocol.max_epipolar_error_px,
            )
            with written_aside(path) as aside, aside.open("wb") as file:
                np.save(file, found, allow_pickle=False)
            return found

    begin = time.monotonic()
    matches = {pair: match(pair) for pair in pairs[:_TIMED_PAIRS]}
    seconds = (time.monotonic() - begin) / max(1, len(matches)) * len(pairs)
    mb = sum(image.pixels.nbytes + image.histograms.nbytes for image in place.features) / 1e6
    callback.on_stage(
        f"{len(place.features)} images, whose features took {place.seconds:.0f} s and {mb:.0f} MB of memory; "
        f"about {seconds:.0f} s for the matches of {len(pairs)} pairs."
    )
    with callback.packing("matching") as on_matched:
        for number, pair in enumerate(pairs[_TIMED_PAIRS:], start=len(matches) + 1):
            matches[pair] = match(pair)
            on_matched(number, len(pairs))
    matched = {pair: found for pair, found in matches.items() if len(found)}
    if not matched:
        raise SceneGeoLocError(
            f"No features of the {len(pairs)} pairs of neighbouring images match along the epipolar lines of "
            "their poses: check poses and intrinsics, or allow a larger epipolar error."
        )
    return matched


def _validate(
    images: MatchedImages, traversal: Traversal, protocol: ReconstructionProtocol
) -> tuple[dict[str, Any], MapAccuracy | None]:
    """Returns numbers on images that are localized in the points of the others, and the map's accuracy."""
    every = protocol.validation_every
    validated = list(range(every // 2, len(images.features), every))
    others = images.without(validated)
    with TemporaryDirectory(prefix="sfm-validation-") as folder:
        path = Path(folder) / "map"
        found = reconstruct(others, protocol.adjust)
        _write(PartialFolder(path, KIND), found, others, (), traversal, protocol)
        localizer = PointLocalizer.open(path)
        estimates = [
            localizer.localize_features(
                [ReadImage(np.eye(4), images.cameras[i], images.features[i])], map_errors=RESIDUALS_ONLY
            )
            for i in validated
        ]
    solutions = [
        (images.T_map_camera[i], estimate.T_map_base, estimate.covariance)
        for i, estimate in zip(validated, estimates, strict=True)
        if estimate.covariance is not None and estimate.T_map_base is not None
    ]
    numbers: dict[str, Any] = {"validated": len(validated), "localized": len(solutions)}
    if not solutions:
        return numbers, None
    true, solved, covariances = (np.stack(values) for values in zip(*solutions, strict=True))
    numbers["position_m"] = float(np.median(position_error_m(true, solved)))
    numbers["rotation_deg"] = float(np.median(rotation_error_deg(true, solved)))
    if len(solutions) < MIN_VALIDATED:
        return numbers, None
    return numbers, accuracy_of(difference(true, solved), covariances)


def _write(
    output: PartialFolder,
    found: Reconstruction,
    images: MatchedImages,
    thumbnails: Sequence[bytes],
    traversal: Traversal,
    protocol: ReconstructionProtocol,
    accuracy: MapAccuracy | None = None,
    overwrite: bool = False,
) -> None:
    """Writes the folder of the map."""
    description = Description(
        image_width=protocol.image_width,
        features=protocol.features,
        error_px=found.error_px,
        track_length=found.track_length,
        provenance={"source": traversal.name, "protocol": protocol.model_dump(mode="json")},
    )
    points = PointMap.make(found, images, description)
    write_localizer_map(
        output,
        STRUCTURE_FROM_MOTION,
        {POINTS: points.save_points, POINT_DESCRIPTORS: points.save_descriptors},
        Keyframes(found.T_map_camera, images.cameras, thumbnails),
        traversal,
        {"system": SYSTEM, **protocol.model_dump(mode="json")},
        overwrite,
        accuracy,
    )
