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

"""Options for the lidar scans that belong to an image, for commands that make depth maps."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from scene_geo_loc.depth.window import PUSHBROOM, SPINNING

if TYPE_CHECKING:
    from scene_geo_loc.depth.window import ScanWindow
    from scene_geo_loc.traversals.frame import Traversal


def _help(bound: str, spinning_s: float, pushbroom_s: float) -> str:
    return (
        f"Use scans {bound} the image, in seconds. "
        f"Default: {spinning_s:g}, or {pushbroom_s:g} for a push-broom lidar."
    )


Before = Annotated[
    float | None,
    typer.Option(min=0, help=_help("from this long before", SPINNING.before_s, PUSHBROOM.before_s)),
]
After = Annotated[
    float | None,
    typer.Option(min=0, help=_help("until this long after", SPINNING.after_s, PUSHBROOM.after_s)),
]


def window_of(traversal: Traversal, before: float | None, after: float | None) -> ScanWindow:
    """Returns the scan window of a traversal's lidar, with the bounds that the user gave."""
    from scene_geo_loc.depth.lidar_views import choose_window

    window = choose_window(traversal)
    return replace(
        window,
        before_s=window.before_s if before is None else before,
        after_s=window.after_s if after is None else after,
    )
