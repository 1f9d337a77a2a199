"""The part of a simulated town that the tests of this folder use."""

from __future__ import annotations

from scene_geo_loc.geometry.camera import Camera

SEED = 7
START_M, LENGTH_M, SIGHT_M = 252.0, 20.0, 45.0
CAMERA = Camera(160, 120, 104.0, 104.0, 79.5, 59.5)
