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

"""Runs of the Oxford RobotCar dataset (Maddern et al., 1 Year, 1000 km, IJRR 2017), in its official layout.

`stereo/{left,centre,right}`, `mono_{left,right,rear}`: raw images `<stamp>.png` with a Bayer pattern,
listed in `stereo.timestamps` etc.; `lms_front`, `lms_rear`, `ldmrs`: scans `<stamp>.bin`, listed
likewise; `gps/ins.csv`, `gps/gps.csv`, `vo/vo.csv`; `rtk.csv`, or `rtk/<run>/rtk.csv`
beside the runs.  `models/` and `extrinsics/` are looked for in the run and beside it.

Frames are undistorted; those of the left and the right camera are rotated upright and cropped as the
authors of Scene Geometry (ICRA 2019) did.  `robotcar.poses` describes the map.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.traversals.folder import FolderTraversal, FrameFiles, size_of
from scene_geo_loc.traversals.formats import Content, Format
from scene_geo_loc.traversals.robotcar.bag import recording_of
from scene_geo_loc.traversals.robotcar.calibration import CAMERAS, Calibration
from scene_geo_loc.traversals.robotcar.poses import read_poses
from scene_geo_loc.traversals.robotcar.rows import NS_PER_STAMP, present, read_stamps
from scene_geo_loc.traversals.robotcar.scans import find_scans, place_scans, read_points
from scene_geo_loc.traversals.skipped import Skipped, SkipReason

MAIN_CAMERA = "stereo/centre"
"""Camera that is read by default."""


def is_robotcar(folder: Path) -> bool:
    """Returns whether a folder is a run of this dataset."""
    return any(
        (folder / f"{kind.unit}.timestamps").is_file() or (folder / name).is_dir()
        for name, kind in CAMERAS.items()
    )


def open_robotcar(folder: Path, camera: str | None = None, poses: str | None = None) -> FolderTraversal:
    """Opens a camera of a run, and the lidars.

    Args:
        folder: folder of the run.
        camera: one of `CAMERAS`; None for stereo/centre.
        poses: "rtk", "ins" or "vo"; None for the best available.

    Raises:
        TraversalError: the camera, its calibration or the wanted poses are missing or unusable.
    """
    name = camera or MAIN_CAMERA
    if name not in CAMERAS:
        raise TraversalError(f"{folder}: no camera {name!r}; the dataset has {', '.join(CAMERAS)}.")
    listed = folder / f"{CAMERAS[name].unit}.timestamps"
    if not (folder / name).is_dir() or not listed.is_file():
        there = [other for other in CAMERAS if (folder / other).is_dir()]
        raise TraversalError(
            f"{folder}: camera {name} needs the folder {name} and the file {listed.name}; here are images of "
            f"{', '.join(there) or 'no camera'}."
        )
    calibration = Calibration(folder)
    left_out = Skipped()
    stamps = read_stamps(listed, left_out)
    exists = present(folder / name, stamps, ".png")
    if not exists.all():
        left_out.add(SkipReason.IMAGE_MISSING, int((~exists).sum()))
    stamps = stamps[exists]
    images = [folder / name / f"{stamp}.png" for stamp in stamps]
    if not images:
        raise TraversalError(f"{folder / name}: none of the images in {listed.name} is here.")
    calibrated = calibration.camera(name, *size_of(images))
    vehicle = read_poses(folder, calibration, left_out, poses)
    stamps_ns = stamps * NS_PER_STAMP
    T_map_vehicle, known = np.zeros((len(stamps), 4, 4)), np.zeros(len(stamps), bool)
    if vehicle is not None:
        T_map_vehicle, known = vehicle.at_many(stamps_ns)
    T_map_camera = T_map_vehicle @ calibrated.T_vehicle_camera
    files = [
        FrameFiles(int(stamp), image, calibrated.camera, T if is_known else None)
        for stamp, image, T, is_known in zip(stamps_ns, images, T_map_camera, known, strict=True)
    ]
    times = find_scans(folder, calibration, left_out)
    scans_left_out = Skipped()
    traversal = FolderTraversal(
        str(folder),
        files,
        place_scans(folder, times, calibration, vehicle, scans_left_out),
        read_image=calibrated.read_image,
        read_scan=read_points,
        left_out=left_out,
        scans_left_out=scans_left_out,
        georeference=None if vehicle is None else vehicle.georeference,
    )
    traversal.recording = recording_of(folder, name, calibration, times, vehicle, traversal.map_frame)
    return traversal


FORMAT = Format(
    layout="stereo.timestamps (or mono_left, mono_right, mono_rear) and folders of images with the same name",
    recognise=is_robotcar,
    open=open_robotcar,
    content=(Content.POSES, Content.LIDAR),
    options=("camera", "poses"),
)
