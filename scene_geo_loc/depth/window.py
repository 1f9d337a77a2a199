"""Which scans are gathered around an image: it depends on how the lidar sweeps.

Imports nothing heavy: the command line's options take their defaults from here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scene_geo_loc.traversals.frame import Scan

LOOKED_AT = 20
"""How many scans tell what kind of lidar they come from."""

_LINE_POINTS = 2000
"""A scan with fewer points is a line: a 2D scanner gives hundreds, a spinning lidar tens of thousands."""


@dataclass(frozen=True)
class ScanWindow:
    """The scans around an image, and how far what they see hides what lies behind it.

    Attributes:
        before_s, after_s: how far before and after the image's stamp the scans lie, in seconds.
        occluder_m: how far, in metres, from the line of sight to a point others are taken for a sign
            of a surface that hides it; see `scene_geo_loc.depth.lidar.project_depth`.
    """

    before_s: float
    after_s: float
    occluder_m: float = 0.0


SPINNING = ScanWindow(1.0, 2.0)
"""A lidar that turns sees all around at once: scans from near the image see what the image sees."""

PUSHBROOM = ScanWindow(10.0, 50.0, 1.0)
"""A line across the road becomes a surface as the vehicle moves on: what the camera has before it is
scanned later (the window of the ICRA 2019 paper), and what it cannot see is scanned as well."""


WINDOWS = {"spinning": SPINNING, "pushbroom": PUSHBROOM}


def window_for(scans: Iterable[Scan]) -> ScanWindow:
    """The window for the kind of lidar that a traversal's first scans come from."""
    sizes = [len(scan.points_map) for scan in islice(scans, LOOKED_AT)]
    return PUSHBROOM if sizes and median(sizes) < _LINE_POINTS else SPINNING
