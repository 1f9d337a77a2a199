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

"""Triangulation and bundle adjustment by COLMAP (Schönberger and Frahm, CVPR 2016), through pycolmap."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import MapError, reason_of
from scene_geo_loc.core.parallel import available_cores
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import inverse, make_pose
from scene_geo_loc.mapping.structure_from_motion.features import PointFeatures

HALF_PIXEL = 0.5
"""COLMAP's first pixel has its centre at (0.5, 0.5)."""


@dataclass(frozen=True)
class MatchedImages:
    """Images with features, poses and matches.

    Attributes:
        features: of each image.
        cameras: of each image, at the working size; the lens distortion of the pixels is already undone.
        T_map_camera: (N, 4, 4).
        matches: (M, 2) features of two images that match, by the numbers of the images.
    """

    features: Sequence[PointFeatures]
    cameras: Sequence[Camera]
    T_map_camera: NDArray[np.float64]
    matches: Mapping[tuple[int, int], NDArray[np.intp]]

    def without(self, images: Sequence[int]) -> MatchedImages:
        """Returns the same images where some have no matches, so that nothing is known of them."""
        left = {pair: found for pair, found in self.matches.items() if not set(pair) & set(images)}
        return MatchedImages(self.features, self.cameras, self.T_map_camera, left)


@dataclass(frozen=True)
class Reconstruction:
    """Points of a place, and the features that show them.

    Attributes:
        points: (P, 3) in the map, metres.
        T_map_camera: (N, 4, 4) poses of the images.
        track_point, track_image, track_feature: (O,) point, image and feature of each observation, in the
            order of the points.
        error_px: mean reprojection error.
    """

    points: NDArray[np.float64]
    T_map_camera: NDArray[np.float64]
    track_point: NDArray[np.int64]
    track_image: NDArray[np.int64]
    track_feature: NDArray[np.int64]
    error_px: float

    @property
    def track_length(self) -> float:
        """Mean number of images that show a point."""
        return len(self.track_point) / max(len(self.points), 1)


def check_available() -> None:
    """Raises MapError where pycolmap is not installed."""
    _pycolmap()


def reconstruct(images: MatchedImages, adjust: bool = False) -> Reconstruction:
    """Returns the points that the matches show, triangulated from the given poses.

    Args:
        images: with their matches.
        adjust: whether poses and points are adjusted to the matches together, and then moved back to the
            given poses as one (Sim(3)); else only points are.

    Raises MapError where pycolmap is not installed, fails, or triangulates nothing.
    """
    pycolmap = _pycolmap()
    with _quiet(pycolmap), TemporaryDirectory(prefix="sfm-") as folder:
        try:
            model = _model(pycolmap, images, Path(folder) / "database.db")
            options = pycolmap.IncrementalPipelineOptions()
            options.num_threads = available_cores()
            options.random_seed = 0
            options.extract_colors = False
            # The given poses have checked every match already.
            options.triangulation.ignore_two_view_tracks = False
            model = pycolmap.triangulate_points(
                model, Path(folder) / "database.db", folder, folder, True, options
            )
            if adjust and model.num_points3D():
                adjustment = pycolmap.BundleAdjustmentOptions()
                adjustment.refine_focal_length = adjustment.refine_extra_params = False
                adjustment.print_summary = False
                config = pycolmap.BundleAdjustmentConfig()
                for image in model.reg_image_ids():
                    config.add_image(image)
                config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
                pycolmap.create_default_bundle_adjuster(adjustment, config, model).solve()
                model.update_point_3d_errors()
        except (RuntimeError, ValueError) as error:
            raise MapError(f"COLMAP cannot triangulate the matches ({reason_of(error)}).") from error
        found = _result(model, images)
    if len(found.points) == 0:
        raise MapError(
            f"No point is seen by enough of the {len(images.features)} images: name a source whose camera "
            "moves along, with texture in view and poses that fit the images."
        )
    return moved_back(found, images.T_map_camera) if adjust else found


def moved_back(found: Reconstruction, T_map_camera: NDArray[np.float64]) -> Reconstruction:
    """Returns a reconstruction moved, turned and scaled as one so that its poses fit given ones (N, 4, 4).

    The rotation is the mean of those of the poses: positions along a straight route do not determine it.
    """
    seen = np.unique(found.track_image)
    ours, theirs = found.T_map_camera[seen], T_map_camera[seen]
    u, _, vt = np.linalg.svd(np.einsum("nij,nkj->ik", theirs[:, :3, :3], ours[:, :3, :3]))
    rotation = u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt
    centre, target = ours[:, :3, 3].mean(axis=0), theirs[:, :3, 3].mean(axis=0)
    turned = (ours[:, :3, 3] - centre) @ rotation.T
    scale = float((turned * (theirs[:, :3, 3] - target)).sum() / max((turned**2).sum(), 1e-12))
    scale = scale if scale > 0 else 1.0

    def moved(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(scale * (points - centre) @ rotation.T + target)

    poses = T_map_camera.copy()
    for i, T in zip(seen, ours, strict=True):
        poses[i] = make_pose(rotation @ T[:3, :3], moved(T[None, :3, 3])[0])
    return Reconstruction(
        moved(found.points),
        poses,
        found.track_point,
        found.track_image,
        found.track_feature,
        found.error_px,
    )


def _pycolmap() -> Any:
    try:
        import pycolmap
    except ImportError as error:
        raise MapError(
            "Structure from motion needs pycolmap, which is not installed (it has no wheels for ARM): "
            "install the package with its extra `sfm`."
        ) from error
    return pycolmap


@contextmanager
def _quiet(pycolmap: Any) -> Iterator[None]:
    """Keeps COLMAP from writing its log to the standard error."""
    before = pycolmap.logging.minloglevel
    pycolmap.logging.minloglevel = int(pycolmap.logging.Level.FATAL.value)
    try:
        yield
    finally:
        pycolmap.logging.minloglevel = before


def _model(pycolmap: Any, images: MatchedImages, path: Path) -> Any:
    """Returns COLMAP's model of the images at their poses; writes features and matches to a database."""
    model = pycolmap.Reconstruction()
    cameras = list(dict.fromkeys(images.cameras))
    with pycolmap.Database.open(str(path)) as database:
        for number, camera in enumerate(cameras, start=1):
            added = pycolmap.Camera(
                model="PINHOLE",
                width=camera.width,
                height=camera.height,
                params=[camera.fx, camera.fy, camera.cx + HALF_PIXEL, camera.cy + HALF_PIXEL],
                camera_id=number,
            )
            model.add_camera_with_trivial_rig(added)
            database.write_camera(added, use_camera_id=True)
            database.write_rig(model.rig(number), use_rig_id=True)
        T_camera_map = inverse(images.T_map_camera)
        for i, (features, camera, T) in enumerate(
            zip(images.features, images.cameras, T_camera_map, strict=True), start=1
        ):
            pixels = features.pixels.astype(np.float64) + HALF_PIXEL
            image = pycolmap.Image(
                name=f"{i:08}", camera_id=cameras.index(camera) + 1, image_id=i, keypoints=pixels
            )
            pose = pycolmap.Rigid3d(pycolmap.Rotation3d(T[:3, :3]), T[:3, 3])
            model.add_image_with_trivial_frame(image, pose)
            database.write_frame(model.frame(i), use_frame_id=True)
            database.write_image(model.image(i), use_image_id=True)
            database.write_keypoints(i, pixels.astype(np.float32))
        for (first, second), matches in images.matches.items():
            geometry = pycolmap.TwoViewGeometry()
            geometry.config = pycolmap.TwoViewGeometryConfiguration.CALIBRATED
            geometry.inlier_matches = matches.astype(np.uint32)
            database.write_two_view_geometry(first + 1, second + 1, geometry)
    return model


def _result(model: Any, images: MatchedImages) -> Reconstruction:
    points, tracks = [], []
    for number, key in enumerate(sorted(model.point3D_ids())):
        point = model.point3D(key)
        points.append(point.xyz)
        tracks += [(number, seen.image_id - 1, seen.point2D_idx) for seen in point.track.elements]
    track = np.array(tracks, np.int64).reshape(-1, 3)
    poses = images.T_map_camera.copy()
    for i in range(len(poses)):
        matrix = np.asarray(model.image(i + 1).cam_from_world().matrix())
        poses[i] = inverse(make_pose(matrix[:, :3], matrix[:, 3]))
    error_px = float(model.compute_mean_reprojection_error()) if len(points) else 0.0
    return Reconstruction(
        np.array(points).reshape(-1, 3), poses, track[:, 0], track[:, 1], track[:, 2], error_px
    )
