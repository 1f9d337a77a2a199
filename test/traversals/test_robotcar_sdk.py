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

"""Agreement with the dataset's public SDK.

The numbers were computed once with the SDK at commit 16ce332, for the run that `robotcar_run` writes: by its
MATLAB functions InterpolatePoses, RelativeToAbsolutePoses and BuildPointcloud, run by GNU Octave 7.3, and
by its Python class CameraModel.  They are relative to the pose at 5.25 s.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from robotcar_run import stamp_us, write_run
from trees import open_folder

from scene_geo_loc.geometry.pose import Pose, inverse, transform
from scene_geo_loc.traversals.folder import FolderTraversal
from scene_geo_loc.traversals.robotcar.calibration import Calibration
from scene_geo_loc.traversals.robotcar.poses import VehiclePoses, read_poses
from scene_geo_loc.traversals.skipped import Skipped

pytestmark = pytest.mark.slow

ORIGIN_US = stamp_us(5.25)
POSES_AT = (1.0371, 3.333333, 7.0109, 9.87654)
SCANS_FROM, SCANS_TO = 1.003, 8.985

POSES = {
    "rtk": [
        [
            [0.9286950809, 0.3704565579, 0.0169524482, -41.1257041492],
            [-0.3696652545, 0.928417064, -0.0372740502, 7.8848042483],
            [-0.0295473585, 0.028349496, 0.9991612781, 0.4555148721],
        ],
        [
            [0.9851574894, 0.171620089, 0.0033565089, -19.0712341997],
            [-0.171570993, 0.9851031132, -0.0116297305, 1.6460678266],
            [-0.0053024028, 0.0108812365, 0.9999267389, 0.178589333],
        ],
        [
            [0.9873441599, -0.1575815079, 0.0178767509, 17.53498647],
            [0.1580630994, 0.9869786065, -0.0298209124, 1.3939032421],
            [-0.0129447464, 0.0322691583, 0.9993953847, -0.114383616],
        ],
        [
            [0.9142560585, -0.4046203456, 0.0204508058, 44.9389462934],
            [0.4047813025, 0.9144035188, -0.0042780891, 9.4980283599],
            [-0.016969287, 0.0121893727, 0.9997817074, -0.1857780632],
        ],
    ],
    "ins": [
        [
            [0.9286947064, 0.3704572098, 0.0169587152, -41.1260808456],
            [-0.369664554, 0.9284157483, -0.0373137491, 7.8849157816],
            [-0.0295678856, 0.0283840453, 0.99915969, 0.4560329148],
        ],
        [
            [0.9851574984, 0.1716199323, 0.0033618627, -19.0713965399],
            [-0.1715707006, 0.9851029921, -0.0116442934, 1.6461964071],
            [-0.0053101738, 0.0108946658, 0.9999265515, 0.1787906605],
        ],
        [
            [0.9873440226, -0.1575812654, 0.0178864712, 17.5350479146],
            [0.1580635118, 0.986977745, -0.0298472289, 1.3945993016],
            [-0.0129501849, 0.0322966815, 0.9993944252, -0.1144956588],
        ],
        [
            [0.9142556903, -0.4046206019, 0.0204621914, 44.9392589653],
            [0.4047818809, 0.9144032122, -0.0042888752, 9.4984003901],
            [-0.0169753263, 0.0122038528, 0.9997814282, -0.1859733655],
        ],
    ],
    "vo": [
        [
            [0.9283017755, 0.371513753, 0.0152756308, -41.3026455532],
            [-0.371165803, 0.9283172029, -0.0215201656, 7.0832261029],
            [-0.0221756684, 0.0143074161, 0.9996517081, 1.9625269076],
        ],
        [
            [0.985103175, 0.1719545526, 0.0018347879, -19.1057865239],
            [-0.171944759, 0.9850959439, -0.0045805129, 1.2660830249],
            [-0.0025950822, 0.0041967956, 0.9999878262, 0.9158125086],
        ],
        [
            [0.987556928, -0.1559191909, 0.0205065816, 17.481118442],
            [0.1565784242, 0.9870136579, -0.0358780744, 1.7935213057],
            [-0.0146461957, 0.0386425292, 0.9991457571, -0.8616704769],
        ],
        [
            [0.9145284761, -0.4034790194, 0.02902322, 44.7096262325],
            [0.4040856482, 0.9145184978, -0.0192537319, 10.4451088554],
            [-0.0187737947, 0.0293359528, 0.9993932892, -2.1364576505],
        ],
    ],
}

CLOUDS = {
    ("lms_front", "vo"): [
        [-43.7059936898, -0.1931598136, -4.1035945613],
        [-9.7971945697, 8.3239354773, 0.466612669],
        [33.7850677516, 15.2315758868, -7.6647588352],
        [-0.8607038107, 2.5048336826, 3.5472289689],
    ],
    ("lms_front", "rtk"): [
        [-41.748229326, -0.015256763, -6.9745625128],
        [-8.0072814997, 8.2576499752, -0.9463235544],
        [35.8993040767, 15.0261940921, -7.2426431636],
        [0.7696405696, 2.3514789504, 2.4146479512],
    ],
    ("ldmrs", "vo"): [
        [-49.6369321761, 2.1781600666, 2.4157400987],
        [-10.6650314815, 8.3123576626, 1.9051760311],
        [27.9519487454, 12.9697892808, -0.4651851561],
        [1.2152909518, 2.1865080193, 1.8633659339],
    ],
    ("ldmrs", "rtk"): [
        [-47.9231321879, 2.3074931352, -0.6676847017],
        [-8.9319704405, 8.2332366788, 0.4562231538],
        [29.7713977536, 12.707666227, -0.3110797597],
        [2.9097220111, 2.0432861302, 0.811134736],
    ],
}
"""The points number 0, 1234 and 3199 of 3200, and the mean of all."""

PIXELS = {
    ("stereo/centre", "vo"): (
        1046,
        [
            [0.8548935663, 28.1128724452, 7.5567497969],
            [52.7694723019, 15.3421494382, 12.5440525661],
            [53.9303680768, 13.264950866, 33.7850677516],
        ],
    ),
    ("stereo/centre", "rtk"): (
        1046,
        [
            [0.8498226177, 28.1139358399, 7.5567453227],
            [52.7647345321, 15.342251194, 12.5440981587],
            [53.9284481605, 13.2649973665, 33.7851549093],
        ],
    ),
    ("mono_rear", "vo"): (
        1350,
        [
            [31.6611861328, 21.9274654691, 39.2769962778],
            [27.2870113179, 34.2864603337, 36.4899064964],
            [28.4799160555, 61.1598902676, 4.3975559204],
        ],
    ),
    ("mono_rear", "rtk"): (
        1350,
        [
            [31.6619167153, 21.9272204931, 39.2768101271],
            [27.2876292389, 34.2861437179, 36.4899172761],
            [28.484869002, 61.1594804226, 4.397578963],
        ],
    ),
}
"""Number of points of lms_front in the image, and x, y and depth of the points 0, 100 and the last one."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("robotcar"), cameras=("stereo/centre", "mono_rear"))


def poses_of(run: Path, origin: str) -> VehiclePoses:
    poses = read_poses(run, Calibration(run), Skipped(), origin)
    assert poses is not None
    return poses


def pose_at_origin(run: Path, poses: str) -> Pose:
    """The pose in the map of what the SDK's poses are of: the inertial unit, or the vehicle."""
    T = poses_of(run, poses).trajectory.at(ORIGIN_US * 1000)
    assert T is not None
    return T


def cloud_in_map(traversal: FolderTraversal, lidar: str) -> np.ndarray:
    first, last = stamp_us(SCANS_FROM) * 1000, stamp_us(SCANS_TO) * 1000
    traversal.scan_files = [
        file
        for file in traversal.scan_files
        if file.path.parent.name == lidar and first <= file.stamp_ns <= last
    ]
    return np.concatenate([scan.points_map for scan in traversal.scans()])


@pytest.mark.parametrize("origin", ["rtk", "ins", "vo"])
def test_interpolated_poses_are_those_of_the_sdk(run: Path, origin: str) -> None:
    stamps = np.array([stamp_us(t) * 1000 for t in POSES_AT])
    poses, known = poses_of(run, origin).trajectory.at_many(stamps)
    assert known.all()
    relative = inverse(pose_at_origin(run, origin)) @ poses
    # The SDK keeps UTM coordinates, of which float64 holds a nanometre.
    np.testing.assert_allclose(relative[:, :3], POSES[origin], rtol=0, atol=1e-8)


@pytest.mark.parametrize(("lidar", "poses"), CLOUDS)
def test_accumulated_scans_are_those_of_the_sdk(run: Path, lidar: Any, poses: Any) -> None:
    cloud = cloud_in_map(open_folder(run, poses=poses), lidar)
    cloud = transform(inverse(pose_at_origin(run, poses)), cloud)
    assert len(cloud) == 3200
    found = np.concatenate([cloud[[0, 1234, 3199]], cloud.mean(axis=0)[None]])
    np.testing.assert_allclose(found, CLOUDS[lidar, poses], rtol=0, atol=1e-8)


@pytest.mark.parametrize(("camera", "poses"), PIXELS)
def test_scans_fall_on_the_pixels_that_the_sdk_gives(run: Path, camera: Any, poses: Any) -> None:
    traversal = open_folder(run, camera=camera, poses=poses)
    frame = next(files for files in traversal.frame_files if files.stamp_ns == ORIGIN_US * 1000)
    points = transform(inverse(frame.T_map_camera), cloud_in_map(traversal, "lms_front"))
    pixels = frame.camera.project(points)
    size = (frame.camera.width, frame.camera.height)
    inside = ((pixels >= 0.5) & (pixels <= size)).all(axis=1)  # as the SDK has it; NaN is not inside
    count, expected = PIXELS[camera, poses]
    assert inside.sum() == count
    seen = np.concatenate([pixels, points[:, 2:]], axis=1)[inside]
    np.testing.assert_allclose(seen[[0, 100, -1]], expected, rtol=0, atol=1e-7)
