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

"""Picture of a recorded view: the map with the evidence of one image, and the panels of Foxglove's layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.geometry.pose import from_quaternion, inverse, transform
from scene_geo_loc.localization.match_picture import INLIER, OUTLIER
from scene_geo_loc.localization.view.messages import (
    ADD,
    CANDIDATES,
    FLOAT32,
    KEYFRAME_VIEWS,
    KEYFRAMES,
    LINE_LIST,
    MATCH_LINES,
    MATCHES,
    PATH,
    PICTURE_JPEG,
    POSITION,
    SPHERE,
    TEXT,
    UINT32,
)
from scene_geo_loc.localization.view.recording import POSE_WITH_COVARIANCE, STATE
from scene_geo_loc.localization.view.scene import CANDIDATE, ELLIPSOID, KEYFRAME
from scene_geo_loc.plots.style import STATUS_COLOURS
from scene_geo_loc.traversals.rosbag.bag import Bag

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BACKGROUND, PANEL, LIGHT, FAINT = "#262a30", "#1d2025", "#d8dde4", "#5a6068"
TRACK = "#26deb2"
READ = (
    KEYFRAMES,
    KEYFRAME_VIEWS,
    CANDIDATES,
    MATCHES,
    MATCH_LINES,
    POSITION,
    PATH,
    PICTURE_JPEG,
    STATE,
    POSE_WITH_COVARIANCE,
)
"""Topics that are drawn."""
AXIS_COLOURS = ("#e0555b", "#6fbf5a", "#4f8fe8")
SIGMA_COLOURS = ("#e0555b", "#6fbf5a", "#5fa0ff")
ASPECT = 0.992
"""Width over height of the view of the map."""
EYE, TARGET = (-7.5, 5.0, 6.5), (7.5, 0.6, 0.8)
"""Place of the eye, and of the point that it looks at: ahead of, left of and above the pose, in `_scale`."""


@dataclass
class _Shown:
    """Messages of a recording: the last of each topic at a time, and the series up to the end."""

    stamp_ns: int
    last: dict[str, Any] = field(default_factory=dict)
    sigmas: list[tuple[float, float, float, float]] = field(default_factory=list)
    counts: list[tuple[float, int, int]] = field(default_factory=list)
    states: list[tuple[float, str]] = field(default_factory=list)


class Eye:
    """A perspective view of points of the map.

    Args:
        eye, target: (3,) where the eye is and where it looks.
        up: (3,) unit vector that is upwards in the picture.
    """

    def __init__(
        self,
        eye: NDArray[np.float64],
        target: NDArray[np.float64],
        up: NDArray[np.float64],
        fov_deg: float = 60.0,
    ) -> None:
        ahead = (target - eye) / np.linalg.norm(target - eye)
        right = np.cross(ahead, up)
        right /= np.linalg.norm(right)
        T_map_eye = np.eye(4)
        T_map_eye[:3, :3] = np.stack([right, np.cross(right, ahead), ahead], axis=1)
        T_map_eye[:3, 3] = eye
        self._T_eye_map = inverse(T_map_eye)
        self._focal = 1.0 / np.tan(np.radians(fov_deg) / 2)
        self._near = 0.02 * float(np.linalg.norm(target - eye))

    def points(self, xyz: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Returns places (N, 2) in the picture, of which -1 to 1 is the height, and depths (N,).

        Points that are not in front of the eye have NaN.
        """
        local = transform(self._T_eye_map, np.asarray(xyz, np.float64).reshape(-1, 3))
        depth = np.where(local[:, 2] > self._near, local[:, 2], np.nan)
        return self._focal * local[:, :2] / depth[:, None], depth

    def lines(self, ends: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns segments (M, 2, 2) of those in front of the eye, cut off where they pass it."""
        local = transform(self._T_eye_map, np.asarray(ends, np.float64).reshape(-1, 3)).reshape(-1, 2, 3)
        local = local[(local[..., 2] > self._near).any(axis=1)]
        for i in (0, 1):
            here, there = local[:, i], local[:, 1 - i]
            behind = here[:, 2] < self._near
            share = (self._near - there[behind, 2]) / (here[behind, 2] - there[behind, 2])
            local[behind, i] = there[behind] + share[:, None] * (here[behind] - there[behind])
        return self._focal * local[..., :2] / local[..., 2:]


def view_picture(recording: Path, share: float = 0.5) -> Figure:
    """Draws the localized image nearest to a time of a recording.

    Left are the keyframes, candidates, matches, covariance and path around the pose, as RViz shows them.
    Right are the picture of the matches and, over time, the standard deviations, the numbers of matches and
    the state, as in the layout for Foxglove.

    Args:
        recording: folder that `ViewRecording` wrote, or of the same topics of a node.
        share: the time, from 0, the start of the recording, to 1, its end.

    Raises TraversalError where nothing is localized in the recording.
    """
    shown = _read(recording, share)
    with mpl.rc_context({"font.size": 9.5, "text.color": LIGHT, "axes.labelcolor": LIGHT}):
        figure = Figure(figsize=(13.2, 7.2), facecolor=PANEL)
        halves = figure.add_gridspec(
            1, 2, width_ratios=(1.3, 1), left=0.0, right=0.99, top=1.0, bottom=0.0, wspace=0.07
        )
        _draw_scene(figure.add_subplot(halves[0]), shown)
        panels = halves[1].subgridspec(6, 1, height_ratios=(0.02, 2.3, 1.2, 1.2, 0.3, 0.2), hspace=0.4)
        _draw_picture(figure.add_subplot(panels[1]), shown)
        times_s, matches, inliers = np.array(shown.counts).T
        start_s = times_s[0]
        now_s = shown.stamp_ns / 1e9 - start_s
        states = figure.add_subplot(panels[4])
        _draw_states(states, shown, start_s, times_s[-1] - start_s)
        deviations = figure.add_subplot(panels[2], sharex=states)
        seconds, *sigmas = np.array(shown.sigmas).T
        for name, sigma_m, colour in zip("xyz", sigmas, SIGMA_COLOURS, strict=True):
            deviations.plot(seconds - start_s, 100 * sigma_m, ".-", ms=3, lw=0.8, color=colour, label=name)
        _finish_plot(deviations, "standard deviation of the position (cm)", now_s)
        counts = figure.add_subplot(panels[3], sharex=states)
        counts.plot(times_s - start_s, matches, color="#96aac4", label="matches")
        counts.plot(times_s - start_s, inliers, color=TRACK, label="agree with the pose")
        _finish_plot(counts, "matches with the map", now_s)
    return figure


def _columns(cloud: Any) -> NDArray[np.void]:
    """Returns the points of a PointCloud2 of 4-byte fields, as a structured array (N,)."""
    kinds = {FLOAT32: "<f4", UINT32: "<u4"}
    layout = [(point_field.name, kinds[point_field.datatype]) for point_field in cloud.fields]
    return np.frombuffer(np.asarray(cloud.data, np.uint8).tobytes(), layout)


def _read(recording: Path, share: float) -> _Shown:
    """Reads a recording. Raises TraversalError where no pose with its matches is in it."""
    bag = Bag(recording)
    topics = {f"/{topic}": topic for topic in READ}
    # The ellipsoid is the last of the messages about an image with a pose.
    done_ns = [
        message.log_time_ns for message in bag.messages([f"/{POSITION}"]) if message.decode().action == ADD
    ]
    if not done_ns or not {f"/{MATCHES}", f"/{POSE_WITH_COVARIANCE}"} <= set(bag.topics):
        raise TraversalError(f"{recording} has no pose with its matches to draw: record it with the images.")
    wanted_ns = done_ns[0] + share * (done_ns[-1] - done_ns[0])
    shown = _Shown(min(done_ns, key=lambda stamp_ns: abs(stamp_ns - wanted_ns)))
    for message in bag.messages(list(topics)):
        topic, decoded, time_s = topics[message.topic], message.decode(), message.log_time_ns / 1e9
        if message.log_time_ns <= shown.stamp_ns:
            shown.last[topic] = decoded
        if topic == POSE_WITH_COVARIANCE:
            variances = np.asarray(decoded.pose.covariance).reshape(6, 6).diagonal()[:3]
            shown.sigmas.append((time_s, *np.sqrt(variances)))
        elif topic == MATCHES:
            shown.counts.append((time_s, decoded.width, _columns(decoded)["inlier"].sum()))
        elif topic == STATE:
            shown.states.append((time_s, decoded.data))
    return shown


def _draw_scene(axes: Axes, shown: _Shown) -> None:
    """Draws the messages in the map from behind and above the pose."""
    pose = shown.last[POSE_WITH_COVARIANCE].pose.pose
    T_map_base = from_quaternion(_xyz(pose.position), (*_xyz(pose.orientation), pose.orientation.w))
    scale_m = _scale(shown)
    # Maps of recordings without ROS may have any axis upright: it is the one nearest to the pose's z axis.
    axis = int(np.abs(T_map_base[:3, 2]).argmax())
    up = np.zeros(3)
    up[axis] = np.sign(T_map_base[axis, 2])
    # A camera that looks up or down has the top of its image ahead.
    flat = [T_map_base[:3, i] - (T_map_base[:3, i] @ up) * up for i in (0, 2)]
    ahead = max(flat, key=lambda direction: float(np.linalg.norm(direction)))
    ahead /= np.linalg.norm(ahead)
    place = T_map_base[:3, 3]
    around = scale_m * np.stack([ahead, np.cross(up, ahead), up], axis=1)
    eye = Eye(place + around @ EYE, place + around @ TARGET, up)
    _draw_ground(axes, eye, place, up, scale_m)
    keyframes = _columns(shown.last[KEYFRAMES])
    _draw_points(axes, eye, _positions(keyframes), _hex(KEYFRAME), 60 * scale_m)
    for topic, alpha in ((KEYFRAME_VIEWS, 0.8), (MATCH_LINES, 0.14)):
        _draw_marker(axes, eye, shown.last[topic], alpha)
    matches = _columns(shown.last[MATCHES])
    packed = matches["rgb"].view(np.uint32)
    colours = np.stack([packed >> 16 & 255, packed >> 8 & 255, packed & 255], axis=1) / 255
    order = np.argsort(matches["inlier"])
    _draw_points(axes, eye, _positions(matches)[order], colours[order], 45 * scale_m)
    for marker in shown.last[CANDIDATES].markers:
        _draw_marker(axes, eye, marker, 0.95)
    _draw_marker(axes, eye, shown.last[POSITION], 0.8)
    if PATH in shown.last:
        path = np.array([_xyz(stamped.pose.position) for stamped in shown.last[PATH].poses])
        path = np.concatenate([path, place[None]])
        lines = eye.lines(np.stack([path[:-1], path[1:]], axis=1))
        axes.add_collection(LineCollection(list(lines), colors=TRACK, lw=2.0))
    length = 0.8 * scale_m  # red, green and blue for x, y and z, as RViz has them
    axes_of_pose = np.stack([np.tile(place, (3, 1)), place + length * T_map_base[:3, :3].T], axis=1)
    axes.add_collection(LineCollection(list(eye.lines(axes_of_pose)), colors=AXIS_COLOURS, lw=2.6))
    _draw_key(axes)
    axes.set(xlim=(-ASPECT, ASPECT), ylim=(-1, 1), aspect="equal", facecolor=BACKGROUND, xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def _draw_key(axes: Axes) -> None:
    """Names the colours at the lower left."""
    key = {
        "keyframes of the map": KEYFRAME,
        "retrieved keyframes (rank: score, agreeing of matches), greener the more agree": CANDIDATE,
        "matched points that agree with the pose; path": INLIER,
        "matched points that do not": OUTLIER,
        "position, 95 %": ELLIPSOID,
    }
    for row, (text, colour) in enumerate(key.items()):
        height = 0.13 - 0.028 * row
        axes.plot(0.022, height + 0.006, "o", ms=5, color=_hex(colour), transform=axes.transAxes)
        axes.text(0.038, height, text, fontsize=8.5, transform=axes.transAxes)


def _scale(shown: _Shown) -> float:
    """Returns the length in metres that suits the scene: that of the viewing directions of the keyframes."""
    points = shown.last[KEYFRAME_VIEWS].points
    if len(points) < 2:
        return 1.0
    return 2 * float(np.linalg.norm(np.subtract(_xyz(points[1]), _xyz(points[0]))))


def _draw_ground(
    axes: Axes, eye: Eye, place: NDArray[np.float64], up: NDArray[np.float64], scale_m: float
) -> None:
    """Draws a grid at the height of the map's origin, or below the camera where that is far away."""
    height_m = float(place @ up)
    if not 0 < height_m < 5 * scale_m:
        place = place - 2 * scale_m * up
        height_m = 0.0
    cell_m = 10.0 ** np.ceil(np.log10(scale_m))
    across, along = np.eye(3)[up == 0]
    middle = (place - height_m * up) * np.abs(up) + np.round(place / cell_m) * cell_m * (up == 0)
    steps = cell_m * np.arange(-12, 13)[:, None]
    far = steps[-1]
    ends = [
        np.stack([middle + steps * one - far * other, middle + steps * one + far * other], axis=1)
        for one, other in ((across, along), (along, across))
    ]
    lines = eye.lines(np.concatenate(ends))
    axes.add_collection(LineCollection(list(lines), colors=FAINT, lw=0.6, alpha=0.6))


def _draw_points(axes: Axes, eye: Eye, xyz: NDArray[np.float64], colours: Any, size: float) -> None:
    places, depth = eye.points(xyz)
    axes.scatter(
        places[:, 0], places[:, 1], s=np.clip(size / depth, 1.2, 14), c=colours, lw=0, plotnonfinite=False
    )


def _draw_marker(axes: Axes, eye: Eye, marker: Any, alpha: float) -> None:
    """Draws a marker of lines, a text or a sphere."""
    if marker.action != ADD:
        return
    colour = _rgb(marker.color)
    T = from_quaternion(
        _xyz(marker.pose.position), (*_xyz(marker.pose.orientation), marker.pose.orientation.w)
    )
    if marker.type == LINE_LIST and len(marker.points):
        ends = np.array([_xyz(point) for point in marker.points]).reshape(-1, 2, 3)
        colours = [_rgb(value) for value in marker.colors[::2]] or [colour] * len(ends)
        for one in sorted(set(colours)):
            own = np.array([value == one for value in colours])
            lines = eye.lines(ends[own])
            axes.add_collection(LineCollection(list(lines), colors=[one], lw=1.3, alpha=alpha))
    elif marker.type == TEXT:
        places, _ = eye.points(T[:3, 3])
        if np.isfinite(places).all():
            x, y = places[0]
            text = axes.text(x, y, marker.text, color=colour, fontsize=8, ha="center", clip_on=True)
            text.set_path_effects([withStroke(linewidth=2.5, foreground=BACKGROUND)])
    elif marker.type == SPHERE:
        turn = np.linspace(0, 2 * np.pi, 49)
        circle = np.stack([np.cos(turn), np.sin(turn), np.zeros_like(turn)], axis=1) / 2
        for order in ([0, 1, 2], [1, 2, 0], [2, 0, 1]):
            ring = transform(T, circle[:, order] * _xyz(marker.scale))
            lines = eye.lines(np.stack([ring[:-1], ring[1:]], axis=1))
            axes.add_collection(LineCollection(list(lines), colors=[colour], lw=1.2, alpha=alpha))


def _draw_picture(axes: Axes, shown: _Shown) -> None:
    picture = cv2.imdecode(np.asarray(shown.last[PICTURE_JPEG].data, np.uint8), cv2.IMREAD_COLOR)
    if picture is not None:
        axes.imshow(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def _draw_states(axes: Axes, shown: _Shown, start_s: float, end_s: float) -> None:
    """Draws the states as coloured parts of a bar, as the panel State Transitions does."""
    colours = {status.value: colour for status, colour in STATUS_COLOURS.items()}
    starts = [time_s - start_s for time_s, _ in shown.states]
    for begin, end, (_, state) in zip(starts, [*starts[1:], end_s], shown.states, strict=True):
        begin, end = max(begin, 0.0), min(end, end_s)
        if begin >= end:
            continue
        axes.axvspan(begin, end, color=colours.get(state, FAINT), lw=0)
        if end - begin > 0.12 * end_s:
            text = state.replace("_", " ")
            axes.text((begin + end) / 2, 0.5, text, ha="center", va="center", color=PANEL)
    _style_panel(axes, shown.stamp_ns / 1e9 - start_s)
    axes.set(yticks=[], ylim=(0, 1), xlim=(0, end_s), xlabel="time (s)")


def _finish_plot(axes: Axes, title: str, now_s: float) -> None:
    _style_panel(axes, now_s)
    axes.set_title(title, color=LIGHT, loc="left", fontsize=9.5)
    axes.set_ylim(0, 1.32 * axes.get_ylim()[1])
    axes.grid(True, color=FAINT, lw=0.5, alpha=0.5)
    axes.tick_params(labelbottom=False)
    axes.legend(loc="upper right", ncols=3, fontsize=8.5, frameon=False, labelcolor=LIGHT)


def _style_panel(axes: Axes, now_s: float) -> None:
    axes.set_facecolor(BACKGROUND)
    axes.tick_params(colors=LIGHT, length=0)
    axes.spines[:].set_visible(False)
    axes.axvline(now_s, color=LIGHT, lw=0.9)


def _positions(cloud: NDArray[np.void]) -> NDArray[np.float64]:
    return np.stack([cloud[axis] for axis in "xyz"], axis=1).astype(np.float64)


def _xyz(vector: Any) -> tuple[float, float, float]:
    return vector.x, vector.y, vector.z


def _rgb(colour: Any) -> tuple[float, float, float]:
    return colour.r, colour.g, colour.b


def _hex(colour: Sequence[int]) -> str:
    """Returns a colour (3,) of 0 to 255 as #rrggbb."""
    return "#" + "".join(f"{value:02x}" for value in colour)
