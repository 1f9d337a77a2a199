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

"""Ray casting with Embree, and shading of the surfaces that rays hit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.simulation.conditions import Condition, Light
from scene_geo_loc.simulation.materials.patterns import noise
from scene_geo_loc.simulation.materials.textures import TextureBank
from scene_geo_loc.simulation.randomness import stream
from scene_geo_loc.simulation.rendering.lattice import PixelLattice
from scene_geo_loc.simulation.rendering.mesh import Mesh
from scene_geo_loc.simulation.rendering.night import (
    F32,
    NO_LAMPS,
    Columns,
    Lamps,
    Moment,
    add_lamp_light,
    add_traffic_light,
    wet_ground,
)
from scene_geo_loc.simulation.rendering.rays import TriangleTree
from scene_geo_loc.simulation.rendering.surfaces import SKY, SurfacePoints, Surfaces

_LINEAR = ((np.arange(256) / 255.0) ** 2.2).astype(np.float32)
_COLOUR_LOSS = 0.5
_BLOCK = 40_000
_FAR_M = 1e4
_HOUSING_M = 0.7
"""A surface within this distance of a light in metres is the light's own housing."""


@dataclass(frozen=True)
class Hits:
    """Ends of rays: distance (N,), inf for the sky, and surface (N,), SKY for none."""

    distance: F32
    surface: NDArray[np.int32]


class _Seen(NamedTuple):
    """Rays that hit a surface, (N,) each: direction x, y, z, distance, dither, and True where in the sun."""

    dx: F32
    dy: F32
    dz: F32
    distance: F32
    dither: F32
    in_sun: NDArray[np.bool_] | None


class Scene:
    """A mesh with textures, burning street lamps and a condition, ready for ray casting."""

    def __init__(
        self, mesh: Mesh, bank: TextureBank, condition: Condition, seed: int, lamps: Lamps = NO_LAMPS
    ) -> None:
        self.condition = condition
        self.bank = bank
        self.mesh = mesh
        self.lamps = lamps
        bank.freeze()
        self._surfaces = Surfaces(mesh)
        self._tree = TriangleTree(mesh.corners)
        self._sky = _paint_sky(condition, seed)

    def cast(self, origins: F32, directions: F32) -> Hits:
        """Returns the first surface on each ray; directions (N, 3) are unit vectors, origins (N, 3)."""
        distance, triangle = self._tree.cast(origins, directions)
        surface = self._surfaces.of_triangle.take(triangle)
        return Hits(distance, np.where(triangle < 0, np.int32(SKY), surface))

    def _cast_image(self, eye: F32, directions: F32, lattice: PixelLattice) -> Hits:
        """Returns the hits of all pixels; casts rays for the first ones, and where neighbours differ."""
        distance = np.empty(len(directions), np.float32)
        surface = np.empty(len(directions), np.int32)

        def cast(pixels: NDArray[np.intp]) -> None:
            hits = self.cast(_repeated(eye, len(pixels)), directions.take(pixels, axis=0))
            distance[pixels], surface[pixels] = hits.distance, hits.surface

        cast(lattice.first)
        for stage in lattice.later:
            agreed, around = stage.agreed(surface)
            sky = stage.pixels[agreed & (around == SKY)]
            distance[sky], surface[sky] = np.inf, SKY
            flat = agreed & (around != SKY)
            pixels, found = stage.pixels[flat], around[flat]
            away = self._surfaces.distance(eye, directions.take(pixels, axis=0), found)
            distance[pixels], surface[pixels] = away, found
            # A plane that is seen edge-on has no distance.
            doubtful = pixels[~((away > 0) & (away < _FAR_M))]
            cast(np.concatenate([stage.pixels[~agreed], doubtful]))
        return Hits(distance, surface)

    def is_shadowed(self, points: F32, direction: F32) -> NDArray[np.bool_]:
        """Returns a mask (N,) of points (N, 3) in the shadow of a far light in a direction (3,)."""
        return self._tree.is_shadowed(points, direction)

    def radiance(
        self,
        eye: F32,
        directions: F32,
        pixel_angle: float,
        dither: F32,
        moment: Moment | None = None,
        lattice: PixelLattice | None = None,
    ) -> tuple[F32, Hits]:
        """Returns linear light (N, 3) along rays from one point (3,), and their hits.

        Args:
            directions: (N, 3) unit vectors.
            pixel_angle: angle in radians between the rays of neighbouring pixels.
            dither: (N,) in [0, 1), see TextureBank.sample.
            moment: the vehicle with lit headlights at night, and the traffic around it; None for none.
            lattice: of the image whose pixels the rays are; saves rays where neighbours see one surface.
        """
        if lattice is None:
            hits = self.cast(_repeated(eye, len(directions)), directions)
        else:
            hits = self._cast_image(eye, directions, lattice)
        in_sun = self._in_sun(eye, directions, hits, lattice) if self.condition.has_sun else None
        light = np.empty((len(directions), 3), np.float32)
        # Blocks keep the arrays of a large image within the processor's cache.
        for start in range(0, len(directions), _BLOCK):
            block = slice(start, start + _BLOCK)
            surface, d = hits.surface[block], directions[block]
            is_solid = surface != SKY
            solid = np.flatnonzero(is_solid)
            if len(solid) < len(d):
                light[block][~is_solid] = self._sky_light(d[~is_solid])
            if len(solid):
                dx, dy, dz = np.asarray(cv2.transpose(d.take(solid, axis=0)), np.float32).reshape(3, -1)
                seen = _Seen(
                    dx,
                    dy,
                    dz,
                    hits.distance[block].take(solid),
                    dither[block].take(solid),
                    None if in_sun is None else in_sun[block].take(solid),
                )
                points = self._surfaces.at(surface.take(solid))
                shown = self._surface(eye, seen, points, np.float32(pixel_angle), moment)
                light[block][solid] = cv2.transpose(shown).reshape(-1, 3)
        return light, hits

    def _surface(
        self, eye: F32, seen: _Seen, at: SurfacePoints, pixel_angle: np.float32, moment: Moment | None
    ) -> F32:
        """Returns the light (3, N) from points on surfaces."""
        condition = self.condition
        dx, dy, dz, distance = seen.dx, seen.dy, seen.dz, seen.distance
        points = eye[0] + dx * distance, eye[1] + dy * distance, eye[2] + dz * distance
        facing = at.nx * dx + at.ny * dy + at.nz * dz
        # Footprint of a pixel along the texture's axes: foreshortening of the plane, split by axis.
        stretch = 1 / np.maximum(np.abs(facing), np.float32(0.02))
        along_u = (at.ux * dx + at.uy * dy + at.uz * dz) * stretch
        along_u *= along_u
        along_v = np.maximum(stretch * stretch - 1 - along_u, 0)
        spot = distance * pixel_angle
        texel = self.bank.sample(
            at.texture,
            at.u + at.ux * points[0] + at.uy * points[1] + at.uz * points[2],
            at.v + at.vx * points[0] + at.vy * points[1] + at.vz * points[2],
            spot * np.sqrt(1 + along_u),
            spot * np.sqrt(1 + along_v),
            seen.dither,
        )
        red, green, blue = (
            _LINEAR.take(texel[:, channel]) * tint for channel, tint in enumerate((at.red, at.green, at.blue))
        )
        colour = np.stack([red, green, blue])
        if condition.is_night:
            # Sodium lamps are almost monochromatic: surfaces keep little colour of their own.
            grey = np.float32(0.45) * (red + green) + np.float32(0.1) * blue
            colour += (grey - colour) * np.float32(_COLOUR_LOSS)
        extra = texel[:, 3] * np.float32(1 / 255)
        flip = -np.sign(facing)
        normal = at.nx * flip, at.ny * flip, at.nz * flip
        light = self._skylight(points[2], normal)
        if seen.in_sun is not None:
            sun = condition.sun_direction.astype(np.float32)
            cosine = normal[0] * sun[0] + normal[1] * sun[1] + normal[2] * sun[2]
            light += _rgb(condition.sun)[:, None] * (np.maximum(cosine, 0) * seen.in_sun)
        if condition.is_night:
            wet = wet_ground(eye, points, normal[2], condition.wetness)
            add_lamp_light(light, points, normal, self.lamps, wet)
            if moment is not None:
                add_traffic_light(light, eye, points, normal, moment, wet)
        light *= colour
        if condition.is_night:
            light += colour * (extra * np.float32(0.9))
        else:
            self._add_shine(light, dz, normal[2], facing, extra)
        horizon = _rgb(condition.horizon)[:, None]
        light -= horizon
        light *= np.exp(distance * np.float32(-1 / condition.haze_m))
        light += horizon
        return light

    def _skylight(self, height: F32, normal: Columns) -> F32:
        """Light from the sky and the ground, brighter from the sun's side; low walls see less of the sky."""
        condition, (nx, ny, nz) = self.condition, normal
        sx, sy, _ = condition.sun_direction.astype(np.float32)
        up = nz * np.float32(0.5) + np.float32(0.5) + np.float32(0.13) * (nx * sx + ny * sy)
        upright = 1 - np.abs(nz)
        up *= 1 - upright * np.float32(0.34) * (1 - np.clip(height * np.float32(1 / 11), 0, 1))
        sky, bounce = _rgb(condition.sky)[:, None], _rgb(condition.bounce)[:, None]
        return bounce + (sky - bounce) * up

    def _in_sun(
        self, eye: F32, directions: F32, hits: Hits, lattice: PixelLattice | None
    ) -> NDArray[np.bool_]:
        """Returns a mask (N,) of the rays that end where the sun shines."""
        in_sun = np.zeros(len(directions), bool)
        sun = self.condition.sun_direction.astype(np.float32)

        def cast(pixels: NDArray[np.intp]) -> None:
            pixels = pixels[hits.surface.take(pixels) != SKY]
            for start in range(0, len(pixels), _BLOCK):
                part = pixels[start : start + _BLOCK]
                d = directions.take(part, axis=0)
                at = self._surfaces.at(hits.surface.take(part))
                normal = np.stack([at.nx, at.ny, at.nz], 1)
                normal *= -np.sign(np.einsum("ni,ni->n", normal, d))[:, None]
                lit = np.flatnonzero(normal @ sun > 0.01)
                # Rays start off the surface, so that it does not shade itself.
                start_at = eye + d[lit] * hits.distance.take(part[lit])[:, None]
                start_at += np.float32(0.012) * normal[lit]
                in_sun[part[lit]] = ~self.is_shadowed(start_at, sun)

        if lattice is None:
            cast(np.arange(len(directions)))
            return in_sun
        cast(lattice.first)
        for stage in lattice.later:
            agreed, lit = stage.agreed(in_sun)
            same, surface = stage.agreed(hits.surface)
            agreed &= same & (hits.surface.take(stage.pixels) == surface)
            in_sun[stage.pixels[agreed]] = lit[agreed]
            cast(stage.pixels[~agreed])
        return in_sun

    def _add_shine(self, light: F32, dz: F32, nz: F32, facing: F32, shine: F32) -> None:
        """Adds the reflection of the sky, or of the houses opposite, in glass and paint."""
        shiny = np.flatnonzero(shine > 0.06)
        cosine = np.abs(facing[shiny])
        mirrored = dz[shiny] + 2 * cosine * nz[shiny]
        fresnel = (np.float32(0.1) + np.float32(0.9) * (1 - cosine) ** 4) * shine[shiny]
        seen = np.clip((mirrored - np.float32(0.2)) * np.float32(1.8), 0, 1)
        sky = _rgb(self.condition.horizon)[:, None] * seen
        sky += _rgb(self.condition.bounce)[:, None] * ((1 - seen) * np.float32(0.7))
        share = np.minimum(fresnel * np.float32(1.6), np.float32(0.85))
        for channel, mirror in zip(light, sky, strict=True):
            channel[shiny] += (mirror - channel[shiny]) * share

    def shines_through(self, eye: F32, places: F32) -> NDArray[np.bool_]:
        """Returns a mask (N,) of the lights at places (N, 3) that are visible from a point (3,)."""
        to = places - eye
        away = np.linalg.norm(to, axis=1)
        hits = self.cast(_repeated(eye, len(to)), np.ascontiguousarray(to / away[:, None], np.float32))
        return np.asarray(hits.distance > away - _HOUSING_M)

    def _sky_light(self, d: F32) -> F32:
        h, w = self._sky.shape[:2]
        azimuth = np.arctan2(d[:, 1], d[:, 0]) * np.float32(w / (2 * np.pi))
        column = azimuth.astype(np.int32) % w
        row = np.clip(np.arcsin(np.clip(d[:, 2], 0, 1)) * np.float32(2 / np.pi * h), 0, h - 1).astype(
            np.int32
        )
        return self._sky[row, column]


def _rgb(light: Light) -> F32:
    return np.array(light, np.float32)


def _repeated(point: F32, count: int) -> F32:
    """Returns a point (3,) as origins (count, 3) that take no memory."""
    return np.broadcast_to(np.asarray(point, np.float32), (count, 3))


def _paint_sky(condition: Condition, seed: int) -> F32:
    """Sky image by elevation (rows, horizon first) and azimuth (columns); clouds differ by condition."""
    h, w = 256, 1536
    rng = stream(seed, "sky", condition.name)
    height = np.sin(np.linspace(0, np.pi / 2, h, dtype=np.float32))[:, None, None]
    gradient = height**0.45
    sky = _rgb(condition.horizon) * (1 - gradient) + _rgb(condition.zenith) * gradient
    sky = np.broadcast_to(sky, (h, w, 3)).copy()
    turned = noise(rng, h * 2, w, 160, 5)[:h]
    wrap = np.linspace(0, 1, w, dtype=np.float32)
    turned = turned * (1 - wrap) + np.roll(turned[:, ::-1], 0, 1) * wrap
    if condition.clouds < 1:
        cover = np.clip((turned + 1.6 * (condition.clouds - 0.5)) * 0.9, 0, 1)[..., None] * np.clip(
            height * 5, 0, 1
        )
        body = _rgb((1.0, 0.99, 0.97)) * (1.0 - 0.22 * np.clip(turned, 0, 1.5))[..., None]
        sky += (body * max(condition.horizon) - sky) * cover
    else:
        sky *= 1 + 0.16 * np.clip(turned, -2, 2)[..., None]
    if condition.has_sun:
        rows, columns = np.mgrid[:h, :w]
        elevation, azimuth = rows / h * np.pi / 2, columns / w * 2 * np.pi
        toward = np.stack(
            [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], 2
        )
        cosine = (toward @ condition.sun_direction).astype(np.float32)
        glare = 0.5 * np.clip(cosine, 0, 1) ** 24 + 12 * (cosine > np.cos(np.radians(1.2)))
        sky += cv2.GaussianBlur(glare.astype(np.float32), (0, 0), 1.5)[..., None] * _rgb(condition.sun)
    return np.maximum(sky, 0).astype(np.float32)
