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

"""map_builder_node with a satellite receiver, over DDS."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from geo_bags import DATUM
from ros.test_map_builder_node import SECOND, START, Drive, T_map_base
from sensor_msgs.msg import NavSatFix

from scene_geo_loc.ros.common.counters import BadReason
from scene_geo_loc.ros.common.messages import ns_to_stamp

pytestmark = pytest.mark.slow


def fix_at(stamp_ns: int, **fields: Any) -> NavSatFix:
    latitude, longitude, altitude = DATUM.geodetic_of(T_map_base(stamp_ns)[:3, 3]).tolist()
    message = NavSatFix(latitude=latitude, longitude=longitude, altitude=altitude)
    message.header.stamp, message.header.frame_id = ns_to_stamp(stamp_ns), "gps_antenna"
    for name, value in fields.items():
        setattr(message, name, value)
    return message


def test_the_receiver_gives_a_map_that_is_built_live_its_datum(world: Any, picture: np.ndarray) -> None:
    drive = Drive(world, picture, gps_topic="gps/fix")
    for i in range(12):
        drive.transform(START + i * SECOND)
        world.publish("gps/fix", fix_at(START + i * SECOND))
        drive.image(START + i * SECOND)
    world.publish("gps/fix", fix_at(START + 11 * SECOND + 1, latitude=np.nan))
    world.wait(lambda: drive.node.counters.totals()[BadReason.SATELLITE], "the bad message to be counted")
    assert drive.save().success
    found = drive.builder.georeference
    assert found.source == "gps/fix"
    assert (found.fit.fixes, found.fit.outliers) == (12, 0)
    assert found.datum.yaw_deg == pytest.approx(DATUM.yaw_deg, abs=1e-3)
    np.testing.assert_allclose(found.datum.map_of(DATUM.geodetic_of(np.zeros(3))), np.zeros(3), atol=1e-3)
    source = {source.role: source for source in drive.builder.sources}["gps"]
    assert (source.name, source.messages) == ("/gps/fix", 13)


def test_too_few_positions_give_no_datum_and_the_map_is_saved(world: Any, picture: np.ndarray) -> None:
    drive = Drive(world, picture, gps_topic="gps/fix")
    drive.transform(START)
    drive.image(START)
    world.wait(lambda: drive.builder.frames, "a frame")
    assert drive.save().success
    assert drive.builder.georeference is None
