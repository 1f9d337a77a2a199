"""The Oxford RobotCar dataset (Maddern et al., 1 Year, 1000 km, IJRR 2017), a run in its owners' layout.

`stereo/{left,centre,right}`, `mono_{left,right,rear}`: raw images `<stamp>.png` with the colours in a
Bayer pattern, listed in `stereo.timestamps` and so on; `lms_front`, `lms_rear`, `ldmrs`: scans
`<stamp>.bin`, listed likewise; `gps/ins.csv`, `gps/gps.csv`, `vo/vo.csv`; `rtk.csv`, or `rtk/<run>/rtk.csv`
beside the runs.  `models/` and `extrinsics/` are looked for in the run and beside it.

Frames are undistorted; those of the left and the right camera are turned upright and cut as the
authors of Scene Geometry (ICRA 2019) did.  The map is described in `robotcar_poses`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.traversals.folder import FolderTraversal, FrameFiles, size_of
from scene_geo_loc.traversals.formats import Content, Format, Option
from scene_geo_loc.traversals.robotcar.bag import recording_of
from scene_geo_loc.traversals.robotcar.calibration import CAMERAS, Calibration
from scene_geo_loc.traversals.robotcar.poses import read_poses
from scene_geo_loc.traversals.robotcar.rows import NS_PER_STAMP, present, read_stamps
from scene_geo_loc.traversals.robotcar.scans import find_scans, place_scans, read_points
from scene_geo_loc.traversals.skipped import Skipped, SkipReason

MAIN_CAMERA = "stereo/centre"
"""The camera that is read where none is named."""


def is_robotcar(folder: Path) -> bool:
    """Whether a folder is a run of this dataset."""
    return any(
        (folder / f"{kind.unit}.timestamps").is_file() or (folder / name).is_dir()
        for name, kind in CAMERAS.items()
    )


def open_robotcar(folder: Path, camera: str | None = None, poses: str | None = None) -> FolderTraversal:
    """Opens one camera of a run, and the lidars.

    Args:
        folder: the run.
        camera: one of `CAMERAS`; None for the main one.
        poses: "rtk", "ins" or "vo"; None for the best that there are.

    Raises:
        TraversalError: the camera, its calibration or what was asked for is not there, or of no use.
    """
    name = camera or MAIN_CAMERA
    if name not in CAMERAS:
        raise TraversalError(f"{folder}: there is no camera {name!r}; take {', '.join(CAMERAS)}.")
    listed = folder / f"{CAMERAS[name].unit}.timestamps"
    if not (folder / name).is_dir() or not listed.is_file():
        there = [other for other in CAMERAS if (folder / other).is_dir()]
        raise TraversalError(
            f"{folder}: {name} needs the folder {name} and the file {listed.name}; here there are images of "
            f"{', '.join(there) or 'no camera'}."
        )
    calibration = Calibration(folder)
    left_out = Skipped()
    stamps = read_stamps(listed, left_out)
    there_are = present(folder / name, stamps, ".png")
    if not there_are.all():
        left_out.add(SkipReason.IMAGE_MISSING, int((~there_are).sum()))
    stamps = stamps[there_are]
    images = [folder / name / f"{stamp}.png" for stamp in stamps]
    if not images:
        raise TraversalError(f"{folder / name}: there is no image that {listed.name} lists.")
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
    )
    traversal.recording = recording_of(folder, name, calibration, times, vehicle, traversal.map_frame)
    return traversal


FORMAT = Format(
    layout="stereo.timestamps (or mono_left, mono_right, mono_rear) and folders of images with the same name",
    recognise=is_robotcar,
    open=open_robotcar,
    content=(Content.POSES, Content.LIDAR),
    options=(Option.CAMERA, Option.POSES),
)
