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

"""Simulation of a campaign: several runs through one city, in the layout of the Oxford RobotCar dataset."""

from __future__ import annotations

import json
import multiprocessing
import os
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scene_geo_loc import __version__
from scene_geo_loc.core.atomic import write_aside, write_json
from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.core.parallel import available_cores, process_pool
from scene_geo_loc.core.partial import PartialFolder
from scene_geo_loc.core.progress import ProgressCallback, ignore_progress
from scene_geo_loc.simulation.conditions import CONDITIONS
from scene_geo_loc.simulation.randomness import stream
from scene_geo_loc.simulation.recordings import robotcar_layout
from scene_geo_loc.simulation.recordings.campaign import (
    CampaignSettings,
    RunDrive,
    area_boxes,
    chosen_runs,
    city_of,
)
from scene_geo_loc.simulation.town.city import City
from scene_geo_loc.simulation.town.plan import StreetPlan
from scene_geo_loc.simulation.vehicle import navigation, robotcar_rig
from scene_geo_loc.simulation.vehicle.sensors import CameraView, line_scan

_README = """This dataset was simulated by scene_geo_loc.  It is not data of the Oxford RobotCar dataset.

The town and all images are synthetic.  Only the layout of the files, their formats and units, and the
names of the runs are those of the Oxford RobotCar dataset, so that one reader reads both.  The runs, with
their simulated condition and the areas that have images:

{runs}

areas.json has the disjoint training, validation and test areas as boxes x_min, y_min, x_max, y_max
in metres: x is UTM easting - {easting:.0f}, y is UTM northing - {northing:.0f} (zone 30U).  There are images
inside the areas only, and scans along the whole drive.  The poses in rtk/ are accurate to about a
centimetre; those in gps/ and vo/ have errors as the real ones do.
"""


@dataclass(frozen=True)
class CampaignSummary:
    """Size of a campaign: `kept` of its runs existed already."""

    images: int
    runs: int
    kept: int


class _Campaign:
    """State that the workers share; they inherit it when they are forked."""

    def __init__(self, out: Path, settings: CampaignSettings, city: City) -> None:
        self.out, self.settings, self.city = out, settings, city
        self.views = {view.name: view for view in robotcar_rig.views(settings.width, settings.height)}
        self.lidars = robotcar_rig.lidars()
        self.drives = [
            RunDrive(run, settings, self.city.plan)
            for run in chosen_runs(settings)
            if not os.path.lexists(out / run.name)
        ]
        self.outputs = [PartialFolder(out / drive.run.name, "run", hidden=True) for drive in self.drives]
        context = multiprocessing.get_context("fork")
        self.done = context.Value("q", 0)

    def simulate_piece(self, number: int, piece: int) -> None:
        """Builds a piece of the city and writes all images and scans there."""
        drive, folder = self.drives[number], self.outputs[number].folder
        run = drive.run
        start, end, shots = drive.pieces[piece]
        condition = CONDITIONS[run.condition]
        scene = self.city.scene(condition, start, end - start, run.name, self.settings.sight)
        cameras = {
            name: CameraView(scene, view.lens, 10 * run.drive_seed + index)
            for index, (name, view) in enumerate(self.views.items())
        }
        poses = drive.motion.poses(drive.seconds([shot.stamp_us for shot in shots]))
        for shot, T_map_base in zip(shots, poses, strict=True):
            if shot.sensor in self.lidars:
                lidar = self.lidars[shot.sensor]
                rng = stream(run.drive_seed, shot.sensor, shot.number)
                ranges, intensity = line_scan(scene, lidar, T_map_base, rng)
                path = folder / shot.sensor / f"{shot.stamp_us}.bin"
                robotcar_layout.write_scan(path, lidar.angles, ranges, intensity)
                continue
            view = self.views[shot.sensor]
            moment = drive.traffic.moment(drive.seconds([shot.stamp_us])[0]) if condition.is_night else None
            picture = cameras[shot.sensor].take(T_map_base @ view.T_base_camera, shot.number, moment)
            path = folder / shot.sensor / f"{shot.stamp_us}.png"
            robotcar_layout.write_image(path, picture, view.kind.bayer)
            with self.done.get_lock():
                self.done.value += 1

    def begin(self) -> None:
        """Creates the folders of the runs; what a killed process left of them is removed."""
        for output in self.outputs:
            output.begin()
            output.restart()
            for sensor in (*self.views, *self.lidars):
                (output.folder / sensor).mkdir(parents=True)

    def finish(self, number: int) -> None:
        """Writes the files of a run that need no rays, and gives the run its name."""
        drive, folder = self.drives[number], self.outputs[number].folder
        run, motion = drive.run, drive.motion
        for name in (*self.views, *self.lidars):
            unit = self.views[name].kind.unit if name in self.views else name
            stamps = [shot.stamp_us for shot in drive.shots_of(name)]
            robotcar_layout.write_timestamps(folder / f"{unit}.timestamps", stamps)
        T_base_ins = robotcar_rig.T_base_ins()
        stamps = drive.ins_stamps_us()
        seconds = drive.seconds(stamps)
        for path, write, error in (
            (folder / "gps" / "ins.csv", robotcar_layout.write_ins, navigation.INS_ERROR),
            (self.out / "rtk" / run.name / "rtk.csv", robotcar_layout.write_rtk, navigation.RTK_ERROR),
        ):
            rng = stream(run.drive_seed, path.name)
            write(path, stamps, navigation.inertial(motion, seconds, T_base_ins, error, rng))
        stamps = drive.gps_stamps_us()
        fixes = navigation.fixes(motion, drive.seconds(stamps), T_base_ins, stream(run.drive_seed, "gps"))
        robotcar_layout.write_gps(folder / "gps" / "gps.csv", stamps, fixes)
        stamps = drive.vo_stamps_us()
        steps = navigation.visual_odometry(
            motion, drive.seconds(stamps), robotcar_rig.T_BASE_VEHICLE, stream(run.drive_seed, "vo")
        )
        robotcar_layout.write_vo(folder / "vo" / "vo.csv", stamps, steps)
        self.outputs[number].publish()


def simulate_robotcar(
    out: Path,
    settings: CampaignSettings | None = None,
    *,
    workers: int | None = None,
    on_progress: ProgressCallback = ignore_progress,
) -> CampaignSummary:
    """Simulates the runs that `out` does not hold yet; the same settings give the same files.

    Args:
        workers: processes, each with a piece of the city; None for one per core.
        on_progress: receives the images done and their total, every half second.

    Raises SceneGeoLocError where `out` cannot be written, or holds a campaign of other settings.
    """
    settings = settings or CampaignSettings()
    try:
        city = city_of(settings)
        _prepare(out, settings, city.plan)
        campaign = _Campaign(out, settings, city)
        total = sum(drive.image_count() for drive in campaign.drives)
        try:
            _simulate_pieces(campaign, workers or available_cores(), on_progress, total)
        finally:
            for output in campaign.outputs:
                output.discard()
    except OSError as error:
        raise SceneGeoLocError(
            f"{out} cannot be written ({error.strerror}): free disk space, or name another folder."
        ) from error
    runs = len(chosen_runs(settings))
    return CampaignSummary(total, runs, runs - len(campaign.drives))


def _prepare(out: Path, settings: CampaignSettings, plan: StreetPlan) -> None:
    """Writes the files that the runs share, unless they exist."""
    record = {"version": __version__, **asdict(settings)}
    del record["runs"]
    path = out / "simulation.json"
    if path.exists():
        _refuse_others(path, record)
    elif out.exists() and any(out.iterdir()):
        raise SceneGeoLocError(f"{out} exists and holds no simulated runs: name another folder.")
    out.mkdir(parents=True, exist_ok=True)
    write_json(path, record)
    northing, easting, _ = robotcar_layout.ORIGIN
    runs = "\n".join(
        f"  {run.name}  {run.condition:10} {' and '.join(run.areas)}" for run in chosen_runs(settings)
    )
    write_aside(out / "README.txt", _README.format(runs=runs, northing=northing, easting=easting).encode())
    write_json(out / "areas.json", area_boxes(plan, settings))
    robotcar_layout.write_calibration(out, robotcar_rig.views(settings.width, settings.height))


def _refuse_others(path: Path, record: dict[str, Any]) -> None:
    try:
        found = json.loads(path.read_text())
    except (ValueError, UnicodeDecodeError):
        found = {}
    for name, value in record.items():
        if found.get(name) != value:
            raise SceneGeoLocError(
                f"{path.parent} holds runs that were simulated with {name} {found.get(name)}, not {value}: "
                "give the same settings, or name another folder."
            )


_campaign: _Campaign | None = None
"""Campaign that forked workers inherit."""


def _simulate_pieces(campaign: _Campaign, workers: int, on_progress: ProgressCallback, total: int) -> None:
    """Simulates all pieces of all runs, and finishes each run with its last piece."""
    global _campaign
    left = {number: len(drive.pieces) for number, drive in enumerate(campaign.drives)}
    tasks = [(number, piece) for number, pieces in left.items() for piece in range(pieces)]
    if not tasks:
        return
    campaign.begin()
    _campaign = campaign
    try:
        with process_pool(min(workers, len(tasks)), "fork") as pool:
            waiting: dict[Future[None], int] = {
                pool.submit(_simulate_piece, *task): task[0] for task in tasks
            }
            while waiting:
                done, _ = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
                on_progress(campaign.done.value, total)
                for future in done:
                    number = waiting.pop(future)
                    future.result()
                    left[number] -= 1
                    if not left[number]:
                        campaign.finish(number)
    finally:
        _campaign = None


def _simulate_piece(number: int, piece: int) -> None:
    assert _campaign is not None
    _campaign.simulate_piece(number, piece)
