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

"""Each launch file, started in a process of its own; skipped where launch_ros is not installed."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("launch_ros")
pytest.importorskip("rclpy")

from domain_coordinator import domain_id
from rcl_interfaces.srv import GetParameters
from rclpy._rclpy_pybind11 import NodeNameNonExistentError
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python
from std_srvs.srv import SetBool

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import make_pose
from scene_geo_loc.mapping.builder import build_map
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.ros.harness.node_process import spinning_node
from scene_geo_loc.traversals.opening import open_traversal
from scene_geo_loc.traversals.rosbag.bag import Bag
from scene_geo_loc.traversals.rosbag.writer import BagWriter

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("localization_node", "map_builder_node", "bag_player", "bag_recorder")
SECOND = 10**9
START = 1_700_000_000 * SECOND

LAUNCH = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
arguments = [word.split(":=", 1) for word in sys.argv[2:]]
service = LaunchService()
source = PythonLaunchDescriptionSource(sys.argv[1])
service.include_launch_description(
    LaunchDescription([IncludeLaunchDescription(source, launch_arguments=arguments)])
)
raise SystemExit(service.run())
"""

TWO_ROBOTS = """
from launch import LaunchDescription
from launch.actions import GroupAction, IncludeLaunchDescription

def robot(**arguments):
    include = IncludeLaunchDescription({path!r}, launch_arguments=arguments.items())
    return GroupAction([include], scoped=True)

def generate_launch_description():
    first = robot(map={map!r}, namespace="robot1")
    return LaunchDescription([first, robot(map={map!r}, namespace="robot2", namespaced_tf="false")])
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """An installation of the package as colcon would make it, of the files of the source tree."""
    prefix = tmp_path_factory.mktemp("prefix")
    index = prefix / "share" / "ament_index" / "resource_index" / "packages"
    programs = prefix / "lib" / "scene_geo_loc"
    share = prefix / "share" / "scene_geo_loc"
    for folder in (index, programs, share):
        folder.mkdir(parents=True)
    (index / "scene_geo_loc").touch()
    shutil.copytree(ROOT / "launch", share / "launch", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "config", share / "config")
    for program in PROGRAMS:
        code = f"from scene_geo_loc.ros.programs import {program}; raise SystemExit({program}())"
        (programs / program).write_text(f"#!{sys.executable}\n{code}\n")
        (programs / program).chmod(0o755)
    with domain_id() as domain:
        yield os.environ | {
            "AMENT_PREFIX_PATH": os.pathsep.join(
                filter(None, (str(prefix), os.environ.get("AMENT_PREFIX_PATH")))
            ),
            "ROS_DOMAIN_ID": str(domain),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
            "ROS_LOG_DIR": str(prefix / "log"),
            "PYTHONPATH": os.pathsep.join((str(ROOT), *filter(None, sys.path))),
            "PREFIX": str(prefix),
        }


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Output of `make demo` on a small scale: ten images a metre apart, and the map of them."""
    folder = tmp_path_factory.mktemp("demo")
    rng = np.random.default_rng(0)
    camera = Camera(128, 96, 100.0, 100.0, 64.0, 48.0)
    mounting = make_pose([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], (0.5, 0.0, 1.0))
    with BagWriter(folder / "bags" / "sunny") as bag:
        bag.static_transforms(START, {("base_link", "camera_optical_frame"): mounting})
        for i in range(10):
            stamp_ns = START + i * SECOND // 4
            T = make_pose(np.eye(3), (1.0 * i, 0.0, 0.0))
            bag.transform(stamp_ns, "odom", "base_link", T)
            bag.pose("/ground_truth/pose", stamp_ns, "map", T)
            bag.camera_info("/camera/camera_info", stamp_ns, "camera_optical_frame", camera)
            image = np.kron(rng.integers(0, 255, (24, 32, 3)), np.ones((4, 4, 1))).astype(np.uint8)
            bag.image("/camera/image_raw", stamp_ns, "camera_optical_frame", image)
            depth = np.full((96, 128), 10.0, np.float32)
            bag.depth_image("/camera/depth/image_raw", stamp_ns, "camera_optical_frame", depth)
    traversal = open_traversal(folder / "bags" / "sunny", poses="/ground_truth/pose")
    assert len(traversal) == 10
    build_map(traversal, folder / "map")
    return folder


def command(environment: dict[str, str], file: str, **arguments: object) -> list[str]:
    path = Path(environment["PREFIX"]) / "share" / "scene_geo_loc" / "launch" / file
    return [sys.executable, "-c", LAUNCH, str(path), *(f"{n}:={value}" for n, value in arguments.items())]


@contextmanager
def started(environment: dict[str, str], file: str, **arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Starts a launch file; its processes that still run at the end of the block are killed."""
    process = subprocess.Popen(
        command(environment, file, **arguments),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def launch(environment: dict[str, str], file: str, exit_code: int = 0, **arguments: object) -> str:
    """Starts a launch file and waits for its end; what it said."""
    with started(environment, file, **arguments) as process:
        said, _ = process.communicate(timeout=200)
    assert process.returncode == exit_code, said
    return said


def read_until(process: subprocess.Popen[str], pattern: str) -> re.Match[str]:
    """Reads what a launch says up to the first line that a pattern occurs in."""
    for line in process.stdout:
        match = re.search(pattern, line)
        if match:
            return match
    raise AssertionError(f"the launch ended without {pattern!r}")


def interrupt(process: subprocess.Popen[str]) -> None:
    """Presses Ctrl-C, and waits for the end of the launch."""
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=100)
    assert process.returncode == 0


def wait_for(condition: Callable[[], bool], limit_s: float = 100.0) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.2)


def topics_of(reader: Node, namespace: str) -> set[str]:
    """The topics that a localization node publishes or subscribes to, as far as they were discovered."""
    try:
        node = ("localization_node", namespace)
        found = [
            *reader.get_publisher_names_and_types_by_node(*node),
            *reader.get_subscriber_names_and_types_by_node(*node),
        ]
    except NodeNameNonExistentError:
        return set()
    return {name for name, _ in found}


def launched_parameters(
    environment: dict[str, str], file: str, node: str, names: list[str], **arguments: object
) -> list[Any]:
    """The values of some parameters of a node that a launch file starts."""
    with (
        spinning_node("parameter_reader", int(environment["ROS_DOMAIN_ID"])) as reader,
        started(environment, file, **arguments),
    ):
        client = reader.create_client(GetParameters, f"{node}/get_parameters")
        assert client.wait_for_service(100.0)
        answer: Any = client.call(GetParameters.Request(names=names))
    return [parameter_value_to_python(value) for value in answer.values]


def states(bag: Path, namespace: str = "") -> list[str]:
    topic = f"{namespace}/localization/state"
    return [message.decode().data for message in Bag(bag).messages([topic])]


def test_replay_localizes_a_recording_and_records_what_was_found(
    environment: dict[str, str], demo: Path, tmp_path: Path
) -> None:
    said = launch(
        environment,
        "replay.launch.py",
        map=demo / "map",
        bag=demo / "bags" / "sunny",
        out=tmp_path / "result",
        namespace="robot1",
    )
    assert "Traceback" not in said
    assert "process has died" not in said
    assert "localized" in states(tmp_path / "result", "/robot1")
    counts = Bag(tmp_path / "result").counts
    assert counts["/robot1/localization/pose"] > 0
    assert counts["/robot1/tf"] > 0


def test_demo_plays_one_of_the_drives_that_the_demo_left(
    environment: dict[str, str], demo: Path, tmp_path: Path
) -> None:
    launch(
        environment, "demo.launch.py", demo=demo, image_transport="raw", rviz="false", out=tmp_path / "result"
    )
    assert "localized" in states(tmp_path / "result")


def test_map_builder_builds_a_map_of_a_recording(
    environment: dict[str, str], demo: Path, tmp_path: Path
) -> None:
    launch(
        environment,
        "map_builder.launch.py",
        bag=demo / "bags" / "sunny",
        out=tmp_path / "map",
        pose_source="pose",
        pose_topic="/ground_truth/pose",
    )
    assert len(ReferenceMap.open(tmp_path / "map")) == 10


def test_a_node_that_fails_says_so_in_a_sentence_and_the_launch_ends_with_exit_code_1(
    environment: dict[str, str],
) -> None:
    said = launch(
        environment, "localization.launch.py", exit_code=1, map="package://scene_geo_loc/launch/nowhere"
    )
    share = Path(environment["PREFIX"]) / "share" / "scene_geo_loc"
    assert f"{share / 'launch' / 'nowhere'}" in said
    assert "localization_node ended with exit code 1" in said
    assert "Traceback" not in said


def with_stub(environment: dict[str, str], folder: Path, package: str, program: str) -> dict[str, str]:
    """An environment with one more package, whose program adds its arguments to a file and sleeps."""
    prefix = folder / "stubs"
    (prefix / "share" / "ament_index" / "resource_index" / "packages").mkdir(parents=True)
    (prefix / "share" / "ament_index" / "resource_index" / "packages" / package).touch()
    path = prefix / "lib" / package / program
    path.parent.mkdir(parents=True)
    path.write_text(f'#!/bin/sh\necho "$*" >> {folder}/arguments\nexec sleep 1000\n')
    path.chmod(0o755)
    return environment | {
        "AMENT_PREFIX_PATH": os.pathsep.join((str(prefix), environment["AMENT_PREFIX_PATH"]))
    }


def test_rviz_is_closed_when_the_node_has_failed(environment: dict[str, str], tmp_path: Path) -> None:
    viewers = with_stub(environment, tmp_path, "rviz2", "rviz2")
    said = launch(
        viewers, "localization.launch.py", exit_code=1, map=tmp_path, namespace="robot1", rviz="true"
    )
    assert f"{tmp_path}" in said
    arguments = (tmp_path / "arguments").read_text()
    assert "localization.rviz" in arguments
    assert "__ns:=/robot1" in arguments
    assert "/tf:=tf" in arguments


def test_without_rviz_the_node_is_launched_alone(environment: dict[str, str]) -> None:
    alone = environment | {"AMENT_PREFIX_PATH": environment["PREFIX"]}
    with started(alone, "localization.launch.py", autostart="false", rviz="true") as process:
        read_until(process, "RViz is not installed")
        read_until(process, r"localization_node-\d+\]: process started")
        interrupt(process)


def test_a_node_that_dies_is_started_again_where_that_is_asked_for(environment: dict[str, str]) -> None:
    arguments = {"autostart": "false", "respawn": "true"}
    with started(environment, "localization.launch.py", **arguments) as process:
        first = int(read_until(process, r"started with pid \[(\d+)\]")[1])
        os.kill(first, signal.SIGKILL)
        assert int(read_until(process, r"started with pid \[(\d+)\]")[1]) != first
        interrupt(process)


def test_two_robots_have_namespaces_of_their_own(
    environment: dict[str, str], demo: Path, tmp_path: Path
) -> None:
    included = Path(environment["PREFIX"]) / "share" / "scene_geo_loc" / "launch" / "localization.launch.py"
    file = tmp_path / "robots.launch.py"
    file.write_text(TWO_ROBOTS.format(path=str(included), map=str(demo / "map")))
    expected = {
        "/robot1": {
            "/robot1/camera/image_raw",
            "/robot1/localization/pose",
            "/robot1/tf",
            "/robot1/tf_static",
        },
        "/robot2": {"/robot2/camera/image_raw", "/robot2/localization/pose", "/tf", "/tf_static"},
    }
    with (
        spinning_node("graph_reader", int(environment["ROS_DOMAIN_ID"])) as reader,
        started(environment, str(file)) as process,
    ):
        for namespace, names in expected.items():
            wait_for(lambda: names <= topics_of(reader, namespace))  # noqa: B023
        assert not {"/tf", "/tf_static"} & topics_of(reader, "/robot1")
        interrupt(process)


@pytest.mark.parametrize(
    ("given", "broadcasts"), [({}, "none"), ({"publish_tf": "map_to_odom"}, "map_to_odom")]
)
def test_one_of_node_and_filter_sends_map_to_odom(
    environment: dict[str, str], tmp_path: Path, given: dict[str, str], broadcasts: str
) -> None:
    filters = with_stub(environment, tmp_path, "robot_localization", "ekf_node")
    arguments = {"autostart": "false", "namespace": "robot1", "odom_topic": "/wheels", **given}
    values = launched_parameters(
        filters, "robot_localization.launch.py", "/robot1/localization_node", ["publish_tf"], **arguments
    )
    assert values == [broadcasts]
    odom, in_map = sorted(
        (tmp_path / "arguments").read_text().splitlines(), key=lambda line: "ekf_map" in line
    )
    for line, name in ((odom, "odom"), (in_map, "map")):
        assert f"__node:=ekf_{name}" in line
        assert f"odometry/filtered:=odometry/{name}" in line
        assert "odom:=/wheels" in line
        assert "/tf:=tf" in line


def test_nav2_manages_the_node_in_place_of_amcl(environment: dict[str, str], tmp_path: Path) -> None:
    nav2 = with_stub(environment, tmp_path, "nav2_map_server", "map_server")
    nav2 = with_stub(nav2, tmp_path / "manager", "nav2_lifecycle_manager", "lifecycle_manager")
    values = launched_parameters(
        nav2,
        "nav2_localization.launch.py",
        "/robot1/localization_node",
        ["autostart", "publish_tf"],
        namespace="robot1",
        grid="~/office.yaml",
        params_file=Path(environment["PREFIX"]) / "share/scene_geo_loc/config/localization.yaml",
    )
    assert values == [False, "map_to_odom"]
    server, manager = ((folder / "arguments").read_text() for folder in (tmp_path, tmp_path / "manager"))
    assert "__node:=map_server" in server
    assert "__node:=lifecycle_manager_localization" in manager
    for arguments in (server, manager):
        assert "nav2_localization.yaml" in arguments
        assert "__ns:=/robot1" in arguments


def test_autoware_finds_the_node_under_its_own_names(environment: dict[str, str], demo: Path) -> None:
    names = {
        "/localization/pose_estimator/pose_with_covariance",
        "/localization/pose_estimator/pose",
        "/sensing/gnss/pose_with_covariance",
    }
    with (
        spinning_node("graph_reader", int(environment["ROS_DOMAIN_ID"])) as reader,
        started(environment, "autoware.launch.py", map=demo / "map") as process,
    ):
        wait_for(lambda: names <= topics_of(reader, "/"))
        client = reader.create_client(SetBool, "/localization/pose_estimator/trigger_node")
        assert client.wait_for_service(100.0)
        interrupt(process)


def test_a_replay_of_a_recording_that_is_missing_ends_with_exit_code_1(
    environment: dict[str, str], demo: Path, tmp_path: Path
) -> None:
    said = launch(environment, "replay.launch.py", exit_code=1, map=demo / "map", bag=tmp_path / "nowhere")
    assert "bag_player ended with exit code 1" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"params_file": "~/nowhere.yaml"}, "The parameter file {home}/nowhere.yaml does not exist"),
        ({"respawn": "perhaps"}, "The argument respawn is 'perhaps'; it must be true or false"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_before_anything_starts(
    environment: dict[str, str], tmp_path: Path, arguments: dict[str, str], message: str
) -> None:
    said = launch(environment | {"HOME": str(tmp_path)}, "localization.launch.py", exit_code=1, **arguments)
    assert message.format(home=tmp_path) in said
    assert "process started" not in said


def test_a_parameter_file_wins_over_defaults_and_arguments_win_over_the_file(
    environment: dict[str, str], tmp_path: Path
) -> None:
    names = ["image_topic", "publish_tf", "map", "use_sim_time", "base_frame", "fix_timeout", "base_T_camera"]
    mounting = [1.0, 0.0, 0.5, 0.0, 0.0, 0.0, 1.0]
    ours = {
        "autostart": False,
        "image_topic": "/front/image_raw",
        "publish_tf": "map_to_base",
        "map": "/maps/street",
        "use_sim_time": True,
        "base_T_camera": mounting,
    }
    file = tmp_path / "ours.yaml"
    file.write_text(json.dumps({"/**": {"ros__parameters": ours}}))
    values = launched_parameters(
        environment,
        "localization.launch.py",
        "localization_node",
        names,
        params_file=file,
        publish_tf="none",
        fix_timeout="3",
    )
    assert [*values[:6], list(values[6])] == [
        "/front/image_raw",
        "none",
        "/maps/street",
        True,
        "base_link",
        3.0,
        mounting,
    ]


def test_lists_can_be_arguments(environment: dict[str, str]) -> None:
    (topics,) = launched_parameters(
        environment,
        "localization.launch.py",
        "localization_node",
        ["rig_image_topics"],
        autostart="false",
        rig_image_topics="[/left/image_raw, /rear/image_raw]",
    )
    assert list(topics) == ["/left/image_raw", "/rear/image_raw"]


def test_replay_takes_the_topics_of_the_parameter_file_and_a_namespace(
    environment: dict[str, str], demo: Path, tmp_path: Path
) -> None:
    file = tmp_path / "ours.yaml"
    topics = {"image_topic": "/camera/image_raw", "camera_info_topic": "/camera/camera_info"}
    file.write_text(json.dumps({"/**": {"ros__parameters": {"map": str(demo / "map"), **topics}}}))
    launch(
        environment,
        "replay.launch.py",
        bag=demo / "bags" / "sunny",
        params_file=file,
        out=tmp_path / "result",
        rate="4.0",
        namespace="robot1",
        namespaced_tf="false",
    )
    assert "localized" in states(tmp_path / "result", "/robot1")
