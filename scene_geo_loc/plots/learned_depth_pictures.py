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

"""Pictures of the depth that networks infer beside measured depth, with one colour scale in metres."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from scene_geo_loc.core.atomic import write_aside
from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.metrics.learned_depth import DepthEstimator, PackedPairs
from scene_geo_loc.plots.depth_pictures import FAR_M, NEAR_M, depth_colours, nearness
from scene_geo_loc.plots.style import STYLE
from scene_geo_loc.traversals.folder import read_image

MEASURED, RENDERING = "measured", "given rendering"
SUFFIXES = (".png", ".jpg", ".jpeg", ".pdf", ".svg")
_MARKS_M = (0.5, 1, 2, 5, 10, 20, 50, 100)
_TILE_INCHES = 2.4
_TILE_PIXELS = 480
_HEADING_CHARACTERS = 22


@dataclass(frozen=True, eq=False)
class DepthRow:
    """One row of a picture: an image with its measured depth and its inferred depths.

    Attributes:
        label: what the image shows, for example "night".
        image: RGB (H, W, 3).
        estimates: (H, W) metres, by the estimator's name.
        truth: the depth map (H, W) in metres, NaN where unknown, or None.
        rendering: depth picture from another program, RGB of any size and colours, or None.
    """

    label: str
    image: NDArray[np.uint8]
    estimates: Mapping[str, NDArray[np.float32]]
    truth: NDArray[np.float32] | None = None
    rendering: NDArray[np.uint8] | None = None


def pair_rows(
    label: str, pairs: PackedPairs, estimators: Sequence[DepthEstimator], count: int
) -> list[DepthRow]:
    """Returns rows of `count` pairs of image and depth map, evenly spaced over all of them."""
    chosen = np.unique(np.linspace(0, len(pairs) - 1, count + 2)[1:-1].round().astype(int)).tolist()
    return [
        DepthRow(label, image, {estimator.name: estimator.depth(image) for estimator in estimators}, truth)
        for image, truth in (pairs[i] for i in chosen)
    ]


def image_rows(
    images: Sequence[Path], renderings: Sequence[Path], estimators: Sequence[DepthEstimator]
) -> list[DepthRow]:
    """Returns rows of images without measured depth.

    Args:
        renderings: depth pictures from another program, one for each image, or none.
    """
    rows = []
    for i, path in enumerate(images):
        image = read_image(path)
        rendering = read_image(renderings[i]) if renderings else None
        estimates = {estimator.name: estimator.depth(image) for estimator in estimators}
        rows.append(DepthRow(path.stem, image, estimates, rendering=rendering))
    return rows


def write_depth_pictures(path: Path, rows: Sequence[DepthRow]) -> None:
    """Writes all rows as one picture: image, measured depth or rendering, each estimate, colour bar.

    Raises SceneGeoLocError if the suffix is none of `SUFFIXES` or the file cannot be written.
    """
    check_suffix(path)
    out = io.BytesIO()
    with mpl.rc_context({**STYLE, "axes.grid": False, "svg.hashsalt": "depth"}):
        metadata = {"Date": None, "Creator": None} if path.suffix == ".svg" else None
        depth_figure(rows).savefig(out, format=path.suffix[1:], dpi=110, metadata=metadata)
    write_aside(path, out.getvalue())


def check_suffix(path: Path) -> None:
    """Raises SceneGeoLocError if the suffix of a picture file is none of `SUFFIXES`."""
    if path.suffix not in SUFFIXES:
        raise SceneGeoLocError(f"{path}: the suffix of a picture must be one of {', '.join(SUFFIXES)}.")


def depth_figure(rows: Sequence[DepthRow]) -> Figure:
    """Returns the figure of all rows; columns without content are left out.

    Raises ValueError if there is no row.
    """
    if not rows:
        raise ValueError("there is no row to draw")
    columns = ["image"]
    columns += [MEASURED] if any(row.truth is not None for row in rows) else []
    columns += [RENDERING] if any(row.rendering is not None for row in rows) else []
    columns += list(dict.fromkeys(name for row in rows for name in row.estimates))
    heights = [row.image.shape[0] / row.image.shape[1] for row in rows]
    figure = Figure(
        figsize=(_TILE_INCHES * len(columns) + 0.9, _TILE_INCHES * (sum(heights) + 0.04 * len(rows)) + 0.4),
        layout="constrained",
    )
    grid = figure.subplots(
        len(rows),
        len(columns),
        squeeze=False,
        gridspec_kw={"height_ratios": heights, "wspace": 0, "hspace": 0},
    )
    for axes, row, height in zip(grid, rows, heights, strict=True):
        tiles = _tiles(row)
        for cell, column in zip(axes, columns, strict=True):
            cell.set_box_aspect(height)
            _draw(cell, tiles.get(column))
        axes[0].set_ylabel(row.label)
    for cell, column in zip(grid[0], columns, strict=True):
        cell.set_title(_broken(column))
    _draw_bar(figure, grid)
    return figure


def _broken(heading: str) -> str:
    """Breaks a heading at spaces, slashes and underscores into lines that fit above a tile."""
    lines = [""]
    for word in re.split(r"(?<=[/_ ])", heading):
        if lines[-1] and len(lines[-1] + word.rstrip()) > _HEADING_CHARACTERS:
            lines.append("")
        lines[-1] += word
    return "\n".join(line.rstrip() for line in lines)


def _tiles(row: DepthRow) -> dict[str, NDArray[np.uint8]]:
    """Returns the pictures of a row by column."""
    tiles = {"image": row.image}
    if row.truth is not None:
        tiles[MEASURED] = depth_colours(row.truth)
    if row.rendering is not None:
        height, width = row.image.shape[:2]
        tiles[RENDERING] = np.asarray(cv2.resize(row.rendering, (width, height)), np.uint8)
    return {**tiles, **{name: depth_colours(depth) for name, depth in row.estimates.items()}}


def _draw(cell: Axes, tile: NDArray[np.uint8] | None) -> None:
    cell.set(xticks=[], yticks=[], facecolor="none")
    for spine in cell.spines.values():
        spine.set_visible(False)
    if tile is None:
        return
    scale = min(1.0, _TILE_PIXELS / tile.shape[1])
    size = (round(scale * tile.shape[1]), round(scale * tile.shape[0]))
    cell.imshow(cv2.resize(tile, size, interpolation=cv2.INTER_AREA), interpolation="nearest")


def _draw_bar(figure: Figure, grid: NDArray[np.object_]) -> None:
    """Draws the colour bar in metres, on the logarithmic scale of the colours."""
    depth = np.geomspace(FAR_M, NEAR_M, 256)
    bar = figure.colorbar(
        ScalarMappable(
            Normalize(0, 1),
            ListedColormap(depth_colours(depth[:, None].astype(np.float32))[:, 0] / 255.0),
        ),
        ax=list(grid.ravel()),
        shrink=min(1.0, 3.0 / len(grid)),
        aspect=25,
        pad=0.01,
    )
    marks = np.array(_MARKS_M, float)
    bar.set_ticks(list(nearness(marks)), labels=[f"{mark:g} m" for mark in _MARKS_M])
    bar.outline.set_visible(False)
