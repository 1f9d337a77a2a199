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

"""A node in many orders of lifecycle transitions, with other maps in between: nothing is left behind."""

from __future__ import annotations

import gc
import os
import random
import threading
from typing import Any

from camera_robot import FakeLocalizer, FakeMap
from lifecycle_msgs.msg import State
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter

from scene_geo_loc.ros.localization.node import LocalizationNode

POSSIBLE = {
    State.PRIMARY_STATE_UNCONFIGURED: ["configure"],
    State.PRIMARY_STATE_INACTIVE: ["activate", "cleanup"],
    State.PRIMARY_STATE_ACTIVE: ["deactivate"],
}


def left_behind(node: Any) -> tuple[int, int, int]:
    """Threads, file descriptors and entities of an unconfigured node."""
    gc.collect()
    entities = (node.publishers, node.subscriptions, node.services, node.timers, node.waitables)
    threads = [thread for thread in threading.enumerate() if thread is not threading.current_thread()]
    return len(threads), len(os.listdir("/proc/self/fd")), sum(len(list(each)) for each in entities)


def test_threads_descriptors_and_entities_stay_as_many_after_100_transitions(context: None) -> None:
    node = LocalizationNode(
        lambda settings: (FakeLocalizer(), FakeMap()),  # type: ignore[arg-type,return-value]
        parameter_overrides=[Parameter("autostart", value=False)],
    )
    orders = random.Random(7)
    found = []
    for _ in range(100):
        if orders.random() < 0.2:
            floor = f"floor_{orders.randrange(3)}"
            assert node.set_parameters([Parameter("map", value=floor)])[0].successful
        state, _ = node._state_machine.current_state
        transition = orders.choice(POSSIBLE[state])
        assert getattr(node, f"trigger_{transition}")() == TransitionCallbackReturn.SUCCESS
        if transition == "cleanup":
            found.append(left_behind(node))
    node.destroy_node()
    assert len(found) > 5
    assert found[-1] == found[0]
    assert max(found) == min(found)
