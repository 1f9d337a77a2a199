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

"""bag_player and bag_recorder, in processes of their own as on a robot."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from ros_programs import Programs
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.typesys import Stores, get_typestore
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image
from tf2_msgs.msg import TFMessage

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.ros.bags.playback import Playback
from scene_geo_loc.ros.common.messages import ns_to_stamp, stamp_to_ns
from scene_geo_loc.traversals.rosbag.bag import Bag

pytestmark = pytest.mark.slow

SECOND = 10**9
START = 1_700_000_000 * SECOND
TOPICS = ["/camera/camera_info", "/camera/image_raw", "/tf_static"]


def test_messages_before_the_clock_are_recorded_at_its_first_time(
    world: Any, start: Programs, tmp_path: Path
) -> None:
    recorder = start("bag_recorder", out=str(tmp_path / "copy"), topics="[/tf_static]", use_sim_time="true")
    world.publish("/tf_static", TFMessage(), latched=True)
    for _ in range(30):  # the recorder's own subscription to the clock may take its time
        world.publish("/clock", Clock(clock=ns_to_stamp(START)))
        time.sleep(0.1)
    world.publish("/tf_static", TFMessage(), latched=True)
    time.sleep(1.0)
    recorder.send_signal(signal.SIGINT)
    said, _ = recorder.communicate(timeout=60)
    assert "2 messages on 1 topics" in said
    assert [m.log_time_ns for m in Bag(tmp_path / "copy").messages(["/tf_static"])] == [START, START]


def test_what_is_played_and_recorded_is_what_was_there(
    context: None, start: Programs, recording: Path, tmp_path: Path
) -> None:
    topics = f"[{', '.join(TOPICS)}]"
    recorder = start("bag_recorder", out=str(tmp_path / "copy"), topics=topics)
    player = start("bag_player", bag=str(recording), wait_for=topics, rate="5.0")
    assert player.wait(60) == 0, player.communicate()[0]
    assert not (tmp_path / "copy").exists()
    recorder.send_signal(signal.SIGINT)
    recorder.send_signal(signal.SIGINT)
    said, _ = recorder.communicate(timeout=60)
    assert recorder.returncode == 0, said
    assert "11 messages on 3 topics" in said
    original, copy = Bag(recording), Bag(tmp_path / "copy")
    assert copy.topics == original.topics
    for topic in TOPICS:
        for before, after in zip(original.messages([topic]), copy.messages([topic]), strict=True):
            # DDS fills a message up to whole words.
            assert after.raw.startswith(before.raw)
            assert len(after.raw) - len(before.raw) < 4


def test_what_a_killed_recorder_left_is_kept_by_the_next_one(
    context: None, start: Programs, recording: Path, tmp_path: Path
) -> None:
    rest = tmp_path / ".copy.partial" / "copy"
    rest.mkdir(parents=True)
    (rest / "copy.mcap").write_bytes(b"the only drive")
    recorder = start("bag_recorder", out=str(tmp_path / "copy"), topics="[/tf_static]")
    player = start("bag_player", bag=str(recording), wait_for="[/tf_static]", rate="5.0")
    assert player.wait(60) == 0, player.communicate()[0]
    recorder.send_signal(signal.SIGINT)
    said, _ = recorder.communicate(timeout=60)
    assert recorder.returncode == 0, said
    assert ".copy.partial" in said
    assert "1 messages on 1 topics" in said
    assert (rest / "copy.mcap").read_bytes() == b"the only drive"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".copy.partial", "copy", "drive"]


@pytest.mark.parametrize(
    ("program", "parameters", "sentence"),
    [
        ("bag_player", {"bag": "nowhere"}, "nowhere does not exist"),
        ("bag_player", {"rate": "-1.0"}, "The parameter rate must be within 0.01 to 100."),
        ("bag_player", {"rate": "fast"}, "The parameter rate must be a float"),
        ("bag_recorder", {}, "No recording is named; set the parameter `out`."),
    ],
)
def test_what_cannot_work_ends_with_a_sentence(
    context: None, start: Programs, program: str, parameters: dict[str, str], sentence: str
) -> None:
    process = start(program, **parameters)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert sentence in said
    assert "Traceback" not in said


def test_the_clock_is_the_time_of_the_recording_and_late_listeners_get_the_static_transforms(
    world: Any, recording: Path
) -> None:
    playback = Playback(world.node, Bag(recording))
    images = world.listen(Image, "/camera/image_raw")
    clock = world.listen(Clock, "/clock")
    assert playback.play(rate=5.0) == 11
    world.wait(lambda: len(images) == 5, "five images")
    times = [stamp_to_ns(message.clock) for message in clock]
    assert times == sorted(times)
    assert START <= times[0] <= times[-1] <= START + SECOND // 2
    assert stamp_to_ns(images[-1].header.stamp) == START + 4 * SECOND // 10
    static = world.listen(TFMessage, "/tf_static", latched=True)
    world.wait(lambda: static, "the static transforms")


def test_a_part_can_be_played_and_keeps_the_static_transforms(world: Any, recording: Path) -> None:
    played = []
    Playback(world.node, Bag(recording)).play(
        rate=5.0, start_s=0.15, duration_s=0.2, on_message=lambda message: played.append(message)
    )
    images = [m.log_time_ns - START for m in played if m.topic == "/camera/image_raw"]
    assert images == [2 * SECOND // 10, 3 * SECOND // 10]
    assert [m.topic for m in played if m.log_time_ns == START] == ["/tf_static"]


def test_a_topic_that_is_not_there_or_that_nobody_hears_is_an_error(world: Any, recording: Path) -> None:
    with pytest.raises(SceneGeoLocError, match="has no topic /lidar/points; it has /camera/camera_info"):
        Playback(world.node, Bag(recording), ["/lidar/points"])
    playback = Playback(world.node, Bag(recording), ["/camera/image_raw"])
    with pytest.raises(SceneGeoLocError, match="Nobody subscribed to /camera/image_raw within"):
        playback.wait_for_subscribers(["/camera/image_raw"], 0.1)


def test_a_recording_of_ros_1_is_played_as_messages_of_ros_2(world: Any, tmp_path: Path) -> None:
    store = get_typestore(Stores.ROS1_NOETIC)
    info_type = store.types["sensor_msgs/msg/CameraInfo"]
    header_type, time_type = store.types["std_msgs/msg/Header"], store.types["builtin_interfaces/msg/Time"]
    roi = store.types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    info = info_type(
        header_type(7, time_type(12, 34), "camera"),
        48,
        64,
        "plumb_bob",
        np.arange(5.0),
        np.arange(9.0),
        np.zeros(9),
        np.zeros(12),
        0,
        0,
        roi,
    )
    with Ros1Writer(tmp_path / "old.bag") as bag:
        connection = bag.add_connection("/info", "sensor_msgs/msg/CameraInfo", typestore=store)
        bag.write(connection, START, store.serialize_ros1(info, "sensor_msgs/msg/CameraInfo"))
    playback = Playback(world.node, Bag(tmp_path / "old.bag"))
    received = world.listen(CameraInfo, "/info")
    playback.play()
    message = world.wait(lambda: received, "the message")[0]
    assert (message.width, message.height, message.header.frame_id) == (64, 48, "camera")
    assert stamp_to_ns(message.header.stamp) == 12 * SECOND + 34
    np.testing.assert_array_equal(message.k, np.arange(9.0))


def test_playing_ends_with_the_context(context: None, recording: Path) -> None:
    playback = Playback(Node("player"), Bag(recording))
    threading.Timer(0.3, rclpy.try_shutdown).start()
    with pytest.raises(ExternalShutdownException):
        playback.play(rate=0.01)
