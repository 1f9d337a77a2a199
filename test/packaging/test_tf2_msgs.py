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

"""tf2_msgs, generated here or from the distribution, is compatible with other ROS 2 systems."""

from __future__ import annotations

import ctypes
import importlib.util
import json
from pathlib import Path

import pytest

TFMessage = pytest.importorskip("tf2_msgs.msg", reason="no ROS 2").TFMessage

SCRIPT = Path(__file__).parents[2] / "scripts" / "generate_tf2_msgs.py"
OFFICIAL_HASH = "e369d0f05a23ae52508854b66f6aa0437f3449d652e8cbf22d5abe85d020f087"


class TypeHash(ctypes.Structure):
    """rosidl_type_hash_t."""

    _fields_ = (("version", ctypes.c_uint8), ("value", ctypes.c_uint8 * 32))


def test_the_compiled_type_has_the_official_hash() -> None:
    library = ctypes.CDLL("libtf2_msgs__rosidl_generator_c.so")
    name = "tf2_msgs__msg__TFMessage__get_type_hash"
    if not hasattr(library, name):
        pytest.skip("this ROS 2 is older than type hashes")
    get_type_hash = getattr(library, name)
    get_type_hash.restype = ctypes.POINTER(TypeHash)
    type_hash = get_type_hash(None).contents
    assert type_hash.version == 1
    assert bytes(type_hash.value).hex() == OFFICIAL_HASH


def test_a_message_survives_serialization() -> None:
    from geometry_msgs.msg import TransformStamped
    from rclpy.serialization import deserialize_message, serialize_message

    transform = TransformStamped(child_frame_id="base_link")
    transform.header.frame_id = "odom"
    transform.transform.translation.x = 1.5
    message = TFMessage(transforms=[transform])
    assert deserialize_message(serialize_message(message), TFMessage) == message


def test_a_generated_type_of_another_hash_is_refused(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("generate_tf2_msgs", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    description = tmp_path / "c" / "msg" / "TFMessage.json"
    description.parent.mkdir(parents=True)
    entry = {"type_name": "tf2_msgs/msg/TFMessage", "hash_string": "RIHS01_" + 64 * "0"}
    description.write_text(json.dumps({"type_hashes": [entry]}))
    with pytest.raises(script.GenerationError, match=r"has type hash RIHS01_0+ instead of RIHS01_e369"):
        script.check_type_hash(tmp_path)
