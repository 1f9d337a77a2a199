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

"""Diagnostics of localization_node: findings, worst first, and numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scene_geo_loc.localization.session import Answer
from scene_geo_loc.localization.verification.focal_scale import LensEstimate
from scene_geo_loc.ros.common.counters import Counted, Event
from scene_geo_loc.ros.common.diagnostics import Level, Report, rejected_values
from scene_geo_loc.ros.localization.outputs.state import State

STALE_STAMP_S = 10.0
"""Largest difference between image stamps and the node's clock where both are of one time source."""


@dataclass(frozen=True)
class LocalizationFacts:
    """Facts that the report is made of.

    Attributes:
        active: whether the lifecycle state is active.
        state: as on localization/state.
        reason: sentence on why it is not localized, or "".
        camera_problem, transform_problem, broadcast_problem, gps_problem, map_problem: sentences, or "".
        gps: use of the satellite positions, a value of `GpsUse`.
        map_check: progress of the verification of the map's large files.
        extension_problem: why the map could not be extended, or "".
        extension_values: counts of the images that extend the map; empty where it is not extended.
        edit_values: how the last change of the map that was asked for stands.
        image_topic, info_topic: topics of images and intrinsics.
        has_camera_info: whether intrinsics have arrived.
        image_age_s: wall time since the last image arrived, or since activation.
        pose_age_s: wall time since the last published pose, or None where there is none.
        stamp_age_s: the node's time minus the last image's stamp, or None before the first image.
        fix_timeout_s: longest time without an image.
        recent, totals: counts since the last report and since the node was configured.
        details: what was wrong with the last rejected message of each reason.
        lens: focal length that the last images ask for, or None before a pose.
        latency_p50_ms, latency_p95_ms: from an image's arrival to its pose, over the last 200 frames.
    """

    active: bool
    state: State
    reason: str
    camera_problem: str
    transform_problem: str
    broadcast_problem: str
    gps_problem: str
    gps: str
    image_topic: str
    info_topic: str
    has_camera_info: bool
    image_age_s: float
    pose_age_s: float | None
    stamp_age_s: float | None
    fix_timeout_s: float
    recent: Counter[Counted]
    totals: Counter[Counted]
    details: Mapping[Counted, str]
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    inlier_ratio: float | None
    inliers: int | None
    confidence: float | None
    lens: LensEstimate | None
    map_path: str
    map_frame: str
    map_check: str
    map_problem: str
    keyframes: int
    extension_problem: str
    extension_values: Mapping[str, object]
    edit_values: Mapping[str, object]
    device: str
    backend: str
    pnp_solver: str

    def report(self) -> Report:
        """Returns the findings and the values that docs/nodes.md describes."""
        report = Report(values=self._values())
        report.find_failed_callbacks(self.recent)
        if self.broadcast_problem:
            report.find(Level.ERROR, self.broadcast_problem)
        if self.map_problem:
            report.find(Level.ERROR, self.map_problem)
        if self.extension_problem:
            report.find(Level.WARN, self.extension_problem)
        if not self.active:
            report.find(Level.WARN, "Inactive: activate the node to localize.")
        elif self.state is State.SUSPENDED:
            report.find(Level.WARN, "Suspended: call ~/resume to continue.")
        else:
            self._find_problems(report)
        if report.level is Level.OK:
            report.message = "Localized."
        return report

    def _find_problems(self, report: Report) -> None:
        if self.recent[Event.FAILED]:
            report.find(Level.ERROR, f"{self.recent[Event.FAILED]} frames failed with a defect, see the log.")
        if self.camera_problem:
            report.find(Level.ERROR, self.camera_problem)
        elif self.image_age_s > self.fix_timeout_s:
            report.find(Level.ERROR, f"No image on {self.image_topic} for {self.image_age_s:.0f} s.")
        if not self.has_camera_info:
            report.find(Level.ERROR, f"No camera_info on {self.info_topic} yet.")
        if self.transform_problem:
            report.find(Level.WARN, self.transform_problem)
        if self.gps_problem:
            report.find(Level.WARN, self.gps_problem)
        if self.lens is not None and self.lens.is_off:
            report.find(Level.WARN, str(self.lens))
        if self.state is State.DEAD_RECKONED:
            report.find(Level.WARN, self.reason)
        elif self.state is not State.LOCALIZED:
            report.find(Level.WARN, f"Not localized ({self.state.value}). {self.reason}".strip())
        report.find_rejected(self.recent, self.details)
        if self.stamp_age_s is not None and abs(self.stamp_age_s) > STALE_STAMP_S:
            report.find(
                Level.WARN,
                f"The images' stamps are {abs(self.stamp_age_s):.0f} s from the node's clock; "
                "when a recording is played set use_sim_time, else synchronise the clocks.",
            )

    def _values(self) -> dict[str, str]:
        values: dict[str, object] = {
            "state": self.state.value,
            "map": self.map_path,
            "map_frame": self.map_frame,
            "map_check": self.map_check,
            "keyframes": self.keyframes,
            **self.extension_values,
            **self.edit_values,
            "gps": self.gps,
            "device": self.device,
            "backend": self.backend,
            "pnp_solver": self.pnp_solver,
            "frames_received": self.totals[Event.RECEIVED],
            "frames_processed": self.totals[Event.PROCESSED],
            "frames_skipped": self.totals[Event.SKIPPED],
            "second_looks": self.totals[Event.SECOND_LOOK],
            "frames_dropped": self.totals[Event.DROPPED],
            "frames_failed": self.totals[Event.FAILED],
            "callbacks_failed": self.totals[Event.CALLBACK_FAILED],
            "latency_p50_ms": _number(self.latency_p50_ms, 1),
            "latency_p95_ms": _number(self.latency_p95_ms, 1),
            "inlier_ratio": _number(self.inlier_ratio, 3),
            "inliers": "" if self.inliers is None else self.inliers,
            "confidence": _number(self.confidence, 4),
            "focal_scale": _number(None if self.lens is None else self.lens.scale, 3),
            "focal_scale_std": _number(None if self.lens is None else self.lens.std, 3),
            "age_of_last_fix_s": _number(self.pose_age_s, 2),
        }
        return {key: str(value) for key, value in values.items()} | rejected_values(self.totals)


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def status_values(answer: Answer) -> dict[str, str]:
    """Returns the numbers of one image for localization/status, as text."""
    estimate, covariance = answer.estimate, answer.pose.covariance
    std_m = std_deg = None
    if answer.pose.T_map_base is not None and covariance is not None:
        std_m = float(np.sqrt(np.linalg.eigvalsh(covariance[:3, :3])[-1]))
        std_deg = float(np.degrees(np.sqrt(np.linalg.eigvalsh(covariance[3:, 3:])[-1])))
    return {
        "kind": "" if answer.pose.kind is None else answer.pose.kind.value,
        "inliers": str(estimate.inliers),
        "inlier_ratio": _number(estimate.inlier_ratio, 3),
        "confidence": _number(estimate.confidence, 4),
        "position_std_m": _number(std_m, 4),
        "rotation_std_deg": _number(std_deg, 4),
    }
