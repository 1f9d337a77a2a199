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

"""The real sets: where each can be had and on what terms, how it is recognised, and how it is scored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from scene_geo_loc.benchmarks.poses.errors import Place
from scene_geo_loc.benchmarks.real import (
    aachen,
    fixed_cameras,
    pair_sets,
    place_folders,
    place_sets,
    pose_sets,
)
from scene_geo_loc.benchmarks.real.experiment import Experiment
from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.traversals.datasets.cambridge import is_cambridge
from scene_geo_loc.traversals.datasets.kitti import is_kitti_odometry
from scene_geo_loc.traversals.datasets.rgbd_folder import is_rgbd_folder
from scene_geo_loc.traversals.datasets.seven_scenes import SPLITS as SEVEN_SCENES_SPLITS
from scene_geo_loc.traversals.datasets.seven_scenes import is_seven_scenes
from scene_geo_loc.traversals.datasets.tum_rgbd import is_tum_rgbd
from scene_geo_loc.traversals.datasets.twelve_scenes import is_twelve_scenes

DEPTH_OF_FOLDERS = 4
"""Levels below the root that sets are searched in."""

_POSES = (
    " Medians are over all queries, one without a pose being infinitely far off; shares are of all queries. "
    "A wrong pose is a localized one off by more than {limit}."
)
_INDOORS, _OUTDOORS = _POSES.format(limit="0.5 m"), _POSES.format(limit="5 m")
_SPLIT = "Every frame of the training split is mapped, every frame of the test split localized."
_UTM = f"Right is a database image within {place_folders.RADIUS_M:g} m by UTM. " + place_sets.PROTOCOL


@dataclass(frozen=True)
class RealSet:
    """A public set.

    Attributes:
        name: as options name it.
        title: as pages name it.
        source: where it can be had.
        terms: its licence or terms of use.
        protocol: how it is scored.
        recognise: returns whether a folder is the set, or a scene of it.
        open: opens such a folder; raises SceneGeoLocError where it is incomplete.
    """

    name: str
    title: str
    source: str
    terms: str
    protocol: str
    recognise: Callable[[Path], bool]
    open: Callable[[Path], Experiment]


SETS = (
    RealSet(
        "rgbd",
        "RGB-D walk (plain folder)",
        "your own, or the HoloLens sequence among the samples of ardaduz/deep-video-mvs",
        "MIT (the sample)",
        "Even frames are mapped and odd ones localized, also rolled clockwise about the optical axis (same "
        "intrinsics, black corners) and through a lens of twice the map's focal length (the central half, "
        "enlarged). For half the focal length the map is made of such enlarged centres, and the odd frames "
        "are as they are. Last, every fifth frame is mapped and all others are localized." + _INDOORS,
        is_rgbd_folder,
        pose_sets.open_rgbd_walk,
    ),
    RealSet(
        "7scenes",
        "7-Scenes",
        "microsoft.com/en-us/research/project/rgb-d-dataset-7-scenes",
        "MSR-LA, non-commercial",
        _SPLIT + " Poses are those of the depth camera's tracker, shifted to the colour camera." + _INDOORS,
        lambda folder: (
            is_seven_scenes(folder)
            and all((folder / name).is_file() for name in SEVEN_SCENES_SPLITS.values())
        ),
        partial(pose_sets.open_split, place=Place.INDOORS, format="7scenes"),
    ),
    RealSet(
        "12scenes",
        "12-Scenes",
        "graphics.stanford.edu/projects/reloc",
        "CC BY-NC-SA 4.0",
        _SPLIT + _INDOORS,
        is_twelve_scenes,
        partial(pose_sets.open_split, place=Place.INDOORS, format="12scenes"),
    ),
    RealSet(
        "tum-rgbd",
        "TUM RGB-D",
        "cvg.cit.tum.de/data/datasets/rgbd-dataset",
        "CC BY 4.0",
        "Every tenth frame is mapped; the frames half-way between are localized." + _INDOORS,
        is_tum_rgbd,
        partial(pose_sets.open_halves, place=Place.INDOORS, format="tum-rgbd", every=10),
    ),
    RealSet(
        "cambridge",
        "Cambridge Landmarks",
        "mi.eng.cam.ac.uk/projects/relocalisation",
        "stated with each archive",
        _SPLIT + " Depth is found from neighbouring images." + _OUTDOORS,
        is_cambridge,
        partial(pose_sets.open_split, place=Place.OUTDOORS, format="cambridge"),
    ),
    RealSet(
        "kitti",
        "KITTI odometry",
        "cvlibs.net/datasets/kitti",
        "CC BY-NC-SA 3.0",
        "Even frames are mapped, odd ones localized; sequences with poses. Depth is the lidar's, or is found "
        "from neighbouring images where the scans are not there." + _OUTDOORS,
        is_kitti_odometry,
        partial(pose_sets.open_halves, place=Place.OUTDOORS, format="kitti-odometry"),
    ),
    RealSet(
        "robotcar",
        "Oxford RobotCar",
        "robotcar-dataset.robots.ox.ac.uk",
        "CC BY-NC-SA 4.0",
        "The first run of a folder is mapped, with lidar depth; every 16th frame of each other one is "
        "localized." + _OUTDOORS,
        lambda folder: len(pose_sets.robotcar_runs(folder)) > 1,
        pose_sets.open_runs,
    ),
    RealSet(
        "aachen",
        "Aachen Day-Night v1.1",
        "visuallocalization.net",
        "stated there; non-commercial",
        aachen.PROTOCOL,
        aachen.is_aachen,
        aachen.Aachen.open,
    ),
    RealSet(
        "gardens-point",
        "Gardens Point Walking",
        "zenodo.org/records/4590133",
        "stated there",
        f"Right is a frame within {place_folders.GARDENS_POINT_FRAMES} of the query's number. "
        + place_sets.RUN_PROTOCOL,
        place_folders.is_gardens_point,
        place_folders.open_gardens_point,
    ),
    RealSet(
        "nordland",
        "Nordland",
        "nrkbeta.no/2013/01/15/nordlandsbanen-minute-by-minute-season-by-season, or VPR-Bench",
        "stated there",
        f"Right is a frame within {place_folders.NORDLAND_FRAMES} of the query's number, of the partition "
        "that is there. " + place_sets.RUN_PROTOCOL,
        place_folders.is_nordland,
        place_folders.open_nordland,
    ),
    RealSet(
        "tokyo247",
        "Tokyo 24/7",
        "data.ciirc.cvut.cz/public/projects/2015netVLAD/Tokyo247, laid out by VPR-datasets-downloader",
        "stated there",
        _UTM,
        place_folders.is_utm_named("tokyo"),
        place_folders.open_utm_named,
    ),
    RealSet(
        "svox",
        "SVOX",
        "github.com/gmberton/VPR-datasets-downloader",
        "those of Google Street View and Oxford RobotCar",
        _UTM,
        place_folders.is_utm_named("svox"),
        place_folders.open_utm_named,
    ),
    RealSet(
        "msls",
        "Mapillary Street-Level Sequences, validation",
        "mapillary.com/dataset/places",
        "stated there; research only",
        "Copenhagen and San Francisco. In the set's own layout panoramas and queries without a right image "
        "are left out, which leaves about 11,000; a subset of 740 is usual too. " + _UTM,
        lambda folder: (
            place_folders.is_msls(folder) or place_folders.is_utm_named("msls", "mapillary")(folder)
        ),
        lambda folder: (
            place_folders.open_msls(folder)
            if place_folders.is_msls(folder)
            else place_folders.open_utm_named(folder)
        ),
    ),
    RealSet(
        "utm",
        "Other sets of places named by UTM",
        "github.com/gmberton/VPR-datasets-downloader (Pittsburgh, St Lucia, Eynsham, San Francisco, ...)",
        "of each",
        _UTM,
        place_folders.is_utm_named(),
        place_folders.open_utm_named,
    ),
    RealSet(
        "pairs",
        "Labelled pairs of images",
        "your own: pairs.csv with the columns query, database and a label",
        "yours",
        pair_sets.PROTOCOL,
        pair_sets.is_pairs,
        pair_sets.PairSet.open,
    ),
    RealSet(
        "cameras",
        "Fixed cameras by day and night",
        "AMOS, mvrl.cse.wustl.edu/datasets/amos, or your own: a folder of cameras, images named "
        "YYYYMMDD_HHMMSS.jpg",
        "of each camera",
        fixed_cameras.PROTOCOL,
        fixed_cameras.is_fixed_cameras,
        fixed_cameras.FixedCameras.open,
    ),
)
"""All sets, in the order of the page; a folder belongs to the first that recognises it."""


def named_sets(names: list[str] | None) -> list[RealSet]:
    """Returns the sets of these names, all for None. Raises SceneGeoLocError for an unknown name."""
    known = {entry.name: entry for entry in SETS}
    for name in names or ():
        if name not in known:
            raise SceneGeoLocError(f"There is no set {name!r}; name {', '.join(known)}.")
    return [entry for entry in SETS if names is None or entry.name in names]


def find_sets(root: Path) -> Iterator[tuple[RealSet, Path]]:
    """Yields the sets below a folder, each with its folder, whatever its name.

    Raises SceneGeoLocError where the folder is missing.
    """
    if not root.is_dir():
        raise SceneGeoLocError(f"{root} is not a folder: name the folder that has the sets.")
    yield from _find(root, DEPTH_OF_FOLDERS)


def _find(folder: Path, depth: int) -> Iterator[tuple[RealSet, Path]]:
    try:
        entry = next((entry for entry in SETS if entry.recognise(folder)), None)
        if entry is not None:
            yield entry, folder
            return
        children = sorted(path for path in folder.iterdir() if path.is_dir()) if depth else []
    except PermissionError:
        return
    for child in children:
        yield from _find(child, depth - 1)
