"""Ray casting with Embree, and shading of the surfaces that rays hit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.simulation.conditions import Condition, Light
from scene_geo_loc.simulation.materials.patterns import noise
from scene_geo_loc.simulation.materials.textures import TextureBank
from scene_geo_loc.simulation.randomness import stream
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

try:
    from embreex.mesh_construction import TriangleMesh
    from embreex.rtcore_scene import EmbreeScene
except ImportError as error:
    raise SceneGeoLocError(
        f"The simulator casts rays with embreex, which cannot be imported ({error}): install scene_geo_loc "
        "with the extra `simulation`."
    ) from error

_LINEAR = ((np.arange(256) / 255.0) ** 2.2).astype(np.float32)
_COLOUR_LOSS = 0.5
_HOUSING_M = 0.7
"""A surface within this distance of a light in metres is the light's own housing."""


@dataclass(frozen=True)
class Hits:
    """Ends of rays: distance (N,) in metres, inf for the sky; triangle (N,); barycentric u, v (N,)."""

    distance: F32
    triangle: NDArray[np.int32]
    u: F32
    v: F32


class _Seen(NamedTuple):
    """Rays that hit a surface: direction x, y, z, distance, triangle, barycentric u, v; (N,) each."""

    dx: F32
    dy: F32
    dz: F32
    distance: F32
    triangle: NDArray[np.int32]
    u: F32
    v: F32


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
        self._embree = EmbreeScene()
        TriangleMesh(self._embree, np.ascontiguousarray(mesh.corners))
        # Embree builds its tree at the first ray: cast one before worker processes are forked.
        self.cast(np.array([[0, 0, 50]], np.float32), np.array([[0, 0, -1]], np.float32))
        self._columns = _shading_columns(mesh)
        self._sky = _paint_sky(condition, seed)

    def cast(self, origins: F32, directions: F32) -> Hits:
        """Returns the first surface on each ray; directions (N, 3) are unit vectors."""
        found = self._embree.run(origins, directions, output=1)
        distance = np.where(found["primID"] < 0, np.float32(np.inf), found["tfar"])
        return Hits(distance, found["primID"], found["u"], found["v"])

    def is_shadowed(self, points: F32, direction: F32) -> NDArray[np.bool_]:
        """Returns a mask (N,) of points (N, 3) in the shadow of a far light in a direction (3,)."""
        directions = np.ascontiguousarray(np.broadcast_to(direction.astype(np.float32), points.shape))
        return self._embree.run(points, directions, query="OCCLUDED") >= 0

    def radiance(
        self,
        origins: F32,
        directions: F32,
        pixel_angle: float,
        dither: F32,
        moment: Moment | None = None,
    ) -> tuple[F32, Hits]:
        """Returns linear light (N, 3) along rays from one point, and their hits.

        Args:
            origins: (N, 3), all the same.
            pixel_angle: angle in radians between the rays of neighbouring pixels.
            dither: (N,) in [0, 1), see TextureBank.sample.
            moment: the vehicle with lit headlights at night, and the traffic around it; None for none.
        """
        hits = self.cast(origins, directions)
        solid, sky = np.flatnonzero(hits.triangle >= 0), np.flatnonzero(hits.triangle < 0)
        light = np.empty((len(directions), 3), np.float32)
        light[sky] = self._sky_light(directions[sky])
        seen = _Seen(
            directions[solid, 0],
            directions[solid, 1],
            directions[solid, 2],
            hits.distance[solid],
            hits.triangle[solid],
            hits.u[solid],
            hits.v[solid],
        )
        light[solid] = self._surface(origins[0], seen, np.float32(pixel_angle), dither[solid], moment)
        return light, hits

    def _surface(
        self, eye: F32, seen: _Seen, pixel_angle: np.float32, dither: F32, moment: Moment | None
    ) -> F32:
        condition = self.condition
        dx, dy, dz, distance, triangle, u, v = seen
        nx, ny, nz, gx, gy, gz, u0, v0, u1, v1, u2, v2 = (column[triangle] for column in self._columns)
        facing = nx * dx + ny * dy + nz * dz
        slant = np.maximum(np.abs(facing), np.float32(0.02))
        spot = distance * pixel_angle
        # Footprint of a pixel along the texture's axes: foreshortening of the plane, split by axis.
        along_u = (gx * dx + gy * dy + gz * dz) / slant
        along_v = np.maximum(1 / (slant * slant) - 1 - along_u * along_u, 0)
        texel = self.bank.sample(
            self.mesh.texture[triangle],
            u0 + u * u1 + v * u2,
            v0 + u * v1 + v * v2,
            spot * np.sqrt(1 + along_u * along_u),
            spot * np.sqrt(1 + along_v),
            dither,
        )
        colour = _LINEAR[texel[:, :3].astype(np.uint8)] * self.mesh.tint[triangle]
        if condition.is_night:
            # Sodium lamps are almost monochromatic: surfaces keep little colour of their own.
            grey = colour @ np.array([0.45, 0.45, 0.1], np.float32)
            colour += (grey[:, None] - colour) * np.float32(_COLOUR_LOSS)
        extra = texel[:, 3] * np.float32(1 / 255)
        flip = -np.sign(facing)
        normal = nx * flip, ny * flip, nz * flip
        points = eye[0] + dx * distance, eye[1] + dy * distance, eye[2] + dz * distance
        light = self._skylight(points[2], normal)
        if condition.has_sun:
            self._add_sunlight(light, points, normal)
        if condition.is_night:
            wet = wet_ground(eye, points, normal[2], condition.wetness)
            add_lamp_light(light, points, normal, self.lamps, wet)
            if moment is not None:
                add_traffic_light(light, eye, points, normal, moment, wet)
        light *= colour
        if condition.is_night:
            light += colour * (extra * np.float32(0.9))[:, None]
        else:
            self._add_shine(light, dz, normal[2], facing, extra)
        haze = np.exp(distance * np.float32(-1 / condition.haze_m))[:, None]
        light *= haze
        light += (1 - haze) * _rgb(condition.horizon)
        return light

    def _skylight(self, height: F32, normal: Columns) -> F32:
        """Light from the sky and the ground, brighter from the sun's side; low walls see less of the sky."""
        condition, (nx, ny, nz) = self.condition, normal
        sx, sy, _ = condition.sun_direction.astype(np.float32)
        up = nz * np.float32(0.5) + np.float32(0.5) + np.float32(0.13) * (nx * sx + ny * sy)
        upright = 1 - np.abs(nz)
        up *= 1 - upright * np.float32(0.34) * (1 - np.clip(height * np.float32(1 / 11), 0, 1))
        return np.outer(up, _rgb(condition.sky)) + np.outer(1 - up, _rgb(condition.bounce))

    def _add_sunlight(self, light: F32, points: Columns, normal: Columns) -> None:
        sun = self.condition.sun_direction.astype(np.float32)
        cosine = normal[0] * sun[0] + normal[1] * sun[1] + normal[2] * sun[2]
        lit = np.flatnonzero(cosine > 0.01)
        # Rays start off the surface, so that it does not shade itself.
        start = np.stack(
            [p[lit] + np.float32(0.012) * n[lit] for p, n in zip(points, normal, strict=True)], 1
        )
        lit = lit[~self.is_shadowed(start, sun)]
        light[lit] += np.outer(cosine[lit], _rgb(self.condition.sun))

    def _add_shine(self, light: F32, dz: F32, nz: F32, facing: F32, shine: F32) -> None:
        """Adds the reflection of the sky, or of the houses opposite, in glass and paint."""
        shiny = np.flatnonzero(shine > 0.06)
        cosine = np.abs(facing[shiny])
        mirrored = dz[shiny] + 2 * cosine * nz[shiny]
        fresnel = (np.float32(0.1) + np.float32(0.9) * (1 - cosine) ** 4) * shine[shiny]
        seen = np.clip((mirrored - np.float32(0.2)) * np.float32(1.8), 0, 1)[:, None]
        sky = _rgb(self.condition.horizon) * seen + _rgb(self.condition.bounce) * (1 - seen) * np.float32(0.7)
        light[shiny] += (sky - light[shiny]) * np.minimum(fresnel * np.float32(1.6), np.float32(0.85))[
            :, None
        ]

    def shines_through(self, eye: F32, places: F32) -> NDArray[np.bool_]:
        """Returns a mask (N,) of the lights at places (N, 3) that are visible from a point (3,)."""
        to = places - eye
        away = np.linalg.norm(to, axis=1)
        origins = np.ascontiguousarray(np.broadcast_to(eye, to.shape), np.float32)
        hits = self.cast(origins, np.ascontiguousarray(to / away[:, None], np.float32))
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


def _shading_columns(mesh: Mesh) -> tuple[F32, ...]:
    """Columns (T,) for shading: normal, unit direction of the texture's u, and uv as an affine function."""
    e1, e2 = mesh.corners[:, 1] - mesh.corners[:, 0], mesh.corners[:, 2] - mesh.corners[:, 0]
    d1, d2 = mesh.uv[:, 1] - mesh.uv[:, 0], mesh.uv[:, 2] - mesh.uv[:, 0]
    # Gradient of u in the plane: orthogonal to the combination of edges along which u is constant.
    flat = d2[:, :1] * e1 - d1[:, :1] * e2
    gradient = np.cross(np.cross(e1, e2), flat)
    length = np.linalg.norm(gradient, axis=1, keepdims=True)
    gradient = np.where(length > 1e-12, gradient / np.maximum(length, 1e-12), 0)
    columns = (*mesh.normal.T, *gradient.T, *mesh.uv[:, 0].T, *d1.T, *d2.T)
    return tuple(np.ascontiguousarray(column, np.float32) for column in columns)


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
