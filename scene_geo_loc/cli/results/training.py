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

"""Records of training epochs as lines on the terminal."""

from __future__ import annotations

from typing import Any


def depth_epoch_text(record: dict[str, Any]) -> str:
    """Returns the record of an epoch of `train depth` or `train scene` as one line."""
    parts = [f"{name} loss {value:.4f}" for name, value in record["losses"].items()] or ["before training"]
    for condition, numbers in record["validation"].items():
        parts.append(f"{condition} {100 * numbers['within_1_25']:.1f} % within 1.25")
    return f"epoch {record['epoch']}: {', '.join(parts)}"


def losses_text(losses: dict[str, float]) -> str:
    """Returns losses as text: "losses triplet 0.1234, depth 0.5678"."""
    return "losses " + ", ".join(f"{name} {value:.4f}" for name, value in losses.items())


def descriptor_epoch_text(record: dict[str, Any]) -> str:
    """Returns the record of an epoch of `train descriptor` as one line."""
    parts = []
    if record["losses"]:
        parts.append(losses_text(record["losses"]))
    if "recall_at_n" in record:
        shares = " ".join(f"{100 * share:.1f}" for share in record["recall_at_n"])
        parts.append(f"validation recall@1..5 {shares} %")
    if "images_a_second" in record:
        parts.append(f"{record['seconds']:.0f} s, {record['images_a_second']:.0f} images/s")
    return f"epoch {record['epoch']}: {'; '.join(parts) or 'not validated'}"
