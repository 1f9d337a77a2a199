"""Pictures of queries beside the keyframes they matched, and the picture that sums a run up."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from scene_geo_loc.evaluation.map_view import add_error_bar, draw_trajectory
from scene_geo_loc.evaluation.pose_error import QueryRecord, Summary
from scene_geo_loc.evaluation.style import STYLE

if TYPE_CHECKING:
    from scene_geo_loc.localization.localizer import PoseEstimate
    from scene_geo_loc.mapping.reference_map import ReferenceMap

INLIER, OUTLIER = (38, 222, 178), (236, 72, 110)
GAP = (17, 21, 27)
SUBPIXEL_BITS = 4


def most_supporting_keyframe(estimate: PoseEstimate) -> int | None:
    """The keyframe to show for an answer: most inliers, else most matches, else most similar."""
    matches = estimate.matches
    for chosen in (matches.keyframe[matches.inlier], matches.keyframe):
        if len(chosen):
            return int(np.bincount(chosen).argmax())
    return estimate.candidates[0].keyframe if estimate.candidates else None


def match_picture(
    query: NDArray[np.uint8],
    estimate: PoseEstimate,
    reference_map: ReferenceMap,
    height: int = 360,
    most_lines: int = 90,
    gap: int = 6,
) -> NDArray[np.uint8]:
    """The query (H, W, 3) on the left, its best keyframe on the right, matches as lines; RGB uint8.

    Inliers are green, outliers a thin red. At most `most_lines` of each are drawn, spread evenly.
    The query alone where no keyframe was retrieved.
    """
    query_scale = height / query.shape[0]
    left = _resized(query, height)
    keyframe = most_supporting_keyframe(estimate)
    if keyframe is None:
        return left
    thumbnail = reference_map.thumbnail(keyframe)
    right = _resized(thumbnail, height)
    keyframe_scale = height / reference_map.camera_of(keyframe).height
    canvas = np.full((height, left.shape[1] + gap + right.shape[1], 3), GAP, np.uint8)
    canvas[:, : left.shape[1]] = left
    canvas[:, left.shape[1] + gap :] = right

    matches = estimate.matches
    here = matches.keyframe == keyframe
    ends = np.concatenate(
        [
            (matches.query_pixels + 0.5) * query_scale - 0.5,
            (matches.keyframe_pixels + 0.5) * keyframe_scale - 0.5 + (left.shape[1] + gap, 0),
        ],
        axis=1,
    )
    for inlier, colour, opacity in ((False, OUTLIER, 0.35), (True, INLIER, 0.9)):
        rows = np.flatnonzero(here & (matches.inlier == inlier))
        rows = rows[:: max(1, -(-len(rows) // most_lines))]
        overlay = canvas.copy()
        for x0, y0, x1, y1 in np.round(ends[rows] * 2**SUBPIXEL_BITS).astype(int).tolist():
            cv2.line(overlay, (x0, y0), (x1, y1), colour, 1, cv2.LINE_AA, SUBPIXEL_BITS)
            for x, y in ((x0, y0), (x1, y1)):
                cv2.circle(overlay, (x, y), 2 << SUBPIXEL_BITS, colour, -1, cv2.LINE_AA, SUBPIXEL_BITS)
        canvas = cv2.addWeighted(overlay, opacity, canvas, 1 - opacity, 0).astype(np.uint8)
    return canvas


def jpeg_bytes(image: NDArray[np.uint8], quality: int = 86) -> bytes:
    """An RGB image as JPEG."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f"an image of shape {image.shape} and type {image.dtype} cannot be written as JPEG")
    return data.tobytes()


def hero_picture(
    rows: Sequence[tuple[str, NDArray[np.uint8]]],
    records: Sequence[QueryRecord],
    summary: Summary,
    keyframe_positions: NDArray[np.float64],
    title: str,
) -> bytes:
    """One PNG that says what the product does: matches on the left, the trajectory on the right.

    `rows` are captions with match pictures of the same run or of several, `records` the run whose
    trajectory is drawn over the keyframes (N, 3).
    """
    paper, ink, muted = "#11151b", "#eef2f5", "#93a0ad"
    dark = STYLE | {"text.color": ink, "axes.titlecolor": ink, "axes.labelcolor": muted}
    dark |= {"axes.edgecolor": "#2a323c", "grid.color": "#232a33"}
    dark |= {"xtick.color": muted, "ytick.color": muted, "legend.labelcolor": muted}
    with mpl.rc_context(dark):
        figure = Figure(figsize=(16, 8.2), dpi=100, facecolor=paper)
        figure.set_layout_engine("constrained", w_pad=0.14, h_pad=0.1)
        left, right = figure.subfigures(1, 2, width_ratios=[1.0, 1.12], squeeze=False)[0]
        for part in (left, right):
            part.set_facecolor(paper)
        cells = left.subplots(len(rows), 1, squeeze=False)[:, 0]
        for axes, (caption, picture) in zip(cells, rows, strict=True):
            axes.imshow(picture, interpolation="lanczos")
            axes.set_title(caption, fontsize=12, fontweight="normal", color=muted, pad=6)
            axes.axis("off")
        head, axes = right.subplots(2, 1, height_ratios=[1, 4.2])
        head.axis("off")
        head.text(0, 1, title, fontsize=20, fontweight="bold", va="top")
        for i, (number, words) in enumerate(headline(summary)):
            head.text(0.25 * i, 0.36, number, fontsize=21, fontweight="bold", color="#2fd6ae", va="center")
            head.text(0.25 * i, 0.1, words, fontsize=10.5, color=muted, va="center")
        axes.set_facecolor(paper)
        draw_trajectory(axes, records, keyframe_positions, summary.wrong_fix_m, 26, 0.66, ink, muted)
        axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=4, fontsize=10.5, handletextpad=0.3)
        place = {"location": "bottom", "fraction": 0.04, "pad": 0.02, "aspect": 60}
        add_error_bar(right, axes, summary.wrong_fix_m, muted, **place)
        out = io.BytesIO()
        figure.savefig(out, format="png")
        return out.getvalue()


def headline(summary: Summary) -> list[tuple[str, str]]:
    """The four numbers to remember, each with its words."""
    share, position = summary.localized_share, summary.position_median_m
    rotation = summary.rotation_median_deg
    return [
        ("–" if share is None else f"{100 * share:.1f} %", "localized"),
        ("–" if position is None else metres(position), "median position"),
        ("–" if rotation is None else f"{rotation:.2f}°", "median rotation"),
        (str(summary.wrong_fixes), f"wrong by over {summary.wrong_fix_m:g} m"),
    ]


def metres(value: float) -> str:
    """A length in the unit it is best read in."""
    return f"{100 * value:.1f} cm" if value < 1 else f"{value:.2f} m"


def _resized(image: NDArray[np.uint8], height: int) -> NDArray[np.uint8]:
    width = max(1, round(image.shape[1] * height / image.shape[0]))
    interpolation = cv2.INTER_AREA if image.shape[0] > height else cv2.INTER_CUBIC
    return cv2.resize(image, (width, height), interpolation=interpolation).astype(np.uint8)
