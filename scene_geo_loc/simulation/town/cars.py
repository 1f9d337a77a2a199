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

"""Parked cars: a few bodies in many colours."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.simulation.materials.stock import Stock, tint_of
from scene_geo_loc.simulation.rendering.mesh import Mesh, MeshBuilder

# Side views: (x, height of the belt line) of the body and (x, z) of the greenhouse, rear to front.
_BODIES = {
    "hatchback": (3.9, 0.86, ((-1.75, 0.86), (-1.55, 1.4), (0.25, 1.45), (1.0, 0.9))),
    "saloon": (4.5, 0.88, ((-1.75, 0.9), (-1.1, 1.4), (0.35, 1.43), (1.15, 0.92))),
    "estate": (4.6, 0.9, ((-2.2, 0.9), (-2.0, 1.45), (0.4, 1.48), (1.2, 0.93))),
    "van": (5.1, 1.15, ((-2.45, 1.15), (-2.4, 2.2), (1.15, 2.25), (1.9, 1.2))),
    "city car": (3.3, 0.88, ((-1.5, 0.9), (-1.35, 1.5), (0.3, 1.52), (1.05, 0.95))),
}
_PAINTS = (
    (208, 208, 206), (34, 34, 38), (112, 116, 120), (132, 26, 30), (28, 44, 84), (168, 172, 176),
    (62, 70, 76), (26, 62, 52), (186, 150, 52), (112, 136, 158), (214, 210, 200), (84, 62, 50),
    (164, 78, 40), (52, 52, 58), (140, 146, 150), (40, 60, 80),
)  # fmt: skip
HALF_WIDTH_M = 0.87


class ParkedCars:
    """Cars of one scene; each body is built once.

    Args:
        stock: the scene's textures.
        has_snow: snow lies on bonnets and roofs.
    """

    def __init__(self, stock: Stock, has_snow: bool) -> None:
        self._stock, self._has_snow = stock, has_snow
        self._bodies: dict[str, Mesh] = {}

    def add(self, mesh: MeshBuilder, rng: np.random.Generator) -> None:
        """Adds a car of a random body and paint at the origin of the current frame, its front along x."""
        name = str(rng.choice(list(_BODIES), p=[0.34, 0.24, 0.2, 0.1, 0.12]))
        paint = tint_of(_PAINTS[int(rng.integers(len(_PAINTS)))])
        if name not in self._bodies:
            builder = MeshBuilder()
            _build_car(builder, self._stock, name, self._has_snow)
            self._bodies[name] = builder.mesh()
        car = self._bodies[name]
        is_painted = car.texture == self._stock["paint"]
        mesh.add(replace(car, tint=np.where(is_painted[:, None], paint, car.tint)))


def _build_car(mesh: MeshBuilder, stock: Stock, name: str, has_snow: bool) -> None:
    """Adds a white car."""
    length, belt, roof = _BODIES[name]
    paint = np.ones(3)
    half, body = length / 2, stock["paint"]
    profile = np.array(
        [
            (-half, 0.34),
            (-half + 0.02, belt - 0.16),
            (-half + 0.12, belt),
            (half - 0.9, belt),
            (half - 0.12, belt - 0.2),
            (half, belt - 0.34),
            (half - 0.04, 0.32),
        ]
    )
    _loft(mesh, profile, np.full(len(profile), HALF_WIDTH_M), body, paint)
    cabin = np.array(roof)
    _loft(mesh, cabin, np.array([0.84, 0.64, 0.64, 0.84]), body, paint)
    _glass(mesh, stock, cabin)
    _wheels(mesh, stock, half)
    plain = stock["plain"]
    for side in (-1, 1):
        y0, y1 = sorted((side * 0.5, side * 0.82))
        mesh.boxes(
            [(half - 0.1, y0, belt - 0.38)], [(half + 0.01, y1, belt - 0.22)], plain, tint_of((222, 226, 230))
        )
        mesh.boxes(
            [(-half - 0.01, y0, belt - 0.3)], [(-half + 0.1, y1, belt - 0.12)], plain, tint_of((150, 18, 18))
        )
    mesh.boxes([(-half - 0.015, -0.26, 0.5)], [(-half, 0.26, 0.61)], plain, tint_of((226, 224, 200)))
    mesh.boxes([(half - 0.03, -0.26, 0.42)], [(half + 0.02, 0.26, 0.53)], plain, tint_of((226, 226, 224)))
    mesh.boxes([(-half - 0.03, -0.85, 0.3)], [(half + 0.02, 0.85, 0.42)], plain, tint_of((40, 40, 42)))
    if has_snow:
        x0, x1 = cabin[1, 0], cabin[2, 0]
        mesh.boxes([(x0, -0.62, cabin[1, 1])], [(x1, 0.62, cabin[2, 1] + 0.07)], stock["snow"])
        mesh.boxes([(x1 + 0.75, -0.74, belt - 0.05)], [(half - 0.25, 0.74, belt + 0.035)], stock["snow"])


def _loft(mesh: MeshBuilder, profile: NDArray, half_widths: NDArray, texture: int, tint: NDArray) -> None:
    """Adds a body from a side view (N, 2) and its half width at each point (N,)."""
    left = np.stack([profile[:, 0], half_widths, profile[:, 1]], 1)
    right = left * (1, -1, 1)
    shell = np.stack([left[:-1], left[1:], right[1:], right[:-1]], 1)
    mesh.quads(shell, shell[..., :2], texture, tint)
    for flank in (left, right):
        fan = [[0, i, i + 1] for i in range(1, len(flank) - 1)]
        mesh.triangles(flank[fan], flank[fan][..., [0, 2]], texture, tint)


def _glass(mesh: MeshBuilder, stock: Stock, cabin: NDArray) -> None:
    """Adds windows slightly outside the greenhouse, with pillars between them."""
    glass = stock["glass"]
    (x0, z0), (x1, z1), (x2, z2), (x3, z3) = cabin
    for side in (-1, 1):
        middle = (x1 + x2) / 2
        low, high = 0.84 * side * 1.012, 0.64 * side * 1.016
        mix = 0.1

        def point(
            bottom: float, top: float, share: float, low: float = low, high: float = high
        ) -> tuple[float, float, float]:
            return (
                bottom + (top - bottom) * share,
                low + (high - low) * share,
                z0 + 0.02 + (min(z1, z2) - z0 - 0.02) * share,
            )

        for a, b, c, d in (
            (x0 + 0.12, middle - 0.05, x1 + 0.05, middle - 0.05),
            (middle + 0.05, x3 - 0.14, middle + 0.05, x2 - 0.04),
        ):
            mesh.polygon([point(a, c, mix), point(b, d, mix), point(b, d, 0.88), point(a, c, 0.88)], glass)
    for (xa, za), (xb, zb), out in (((x0, z0), (x1, z1), -0.015), ((x3, z3), (x2, z2), 0.015)):
        corners = []
        for share, sign in ((0.1, 1), (0.1, -1), (0.9, -1), (0.9, 1)):
            corners.append(
                (xa + (xb - xa) * share + out, sign * (0.78 - 0.18 * share), za + (zb - za) * share + 0.012)
            )
        mesh.polygon(corners, glass)


def _wheels(mesh: MeshBuilder, stock: Stock, half: float) -> None:
    rubber, plain = stock["rubber"], stock["plain"]
    for x in (-half + 0.72, half - 0.78):
        for side in (-1, 1):
            mesh.cylinder(
                (x, side * 0.66, 0.31), (x, side * 0.885, 0.31), (0.31, 0.31), rubber, sides=12, cap=True
            )
            angle = np.linspace(0, 2 * np.pi, 9)[:-1]
            rim = np.stack(
                [x + 0.19 * np.cos(angle), np.full(8, side * 0.892), 0.31 + 0.19 * np.sin(angle)], 1
            )
            mesh.polygon(rim, plain, tint_of((150, 152, 156)))
