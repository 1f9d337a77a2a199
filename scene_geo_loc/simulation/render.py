"""Ray casting with Embree, and the light that surfaces send back."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from numpy.typing import NDArray

from scene_geo_loc.simulation.conditions import Condition
from scene_geo_loc.simulation.mesh import Mesh
from scene_geo_loc.simulation.patterns import noise
from scene_geo_loc.simulation.randomness import stream
from scene_geo_loc.simulation.textures import TextureBank

MISS = 1e30
_LINEAR = ((np.arange(256) / 255.0) ** 2.2).astype(np.float32)
LAMP_RANGE_M = 32.0

F32 = NDArray[np.float32]


@dataclass(frozen=True)
class Hits:
    """Where rays end: distance (N,), inf for the sky; triangle (N,); barycentric u, v (N,)."""

    distance: F32
    triangle: NDArray[np.int32]
    u: F32
    v: F32


class Scene:
    """Triangles, textures, lamps and a condition, ready to be looked at.

    Args:
        lamps: (L, 3) positions of street lamps in metres.
    """

    def __init__(self, mesh: Mesh, bank: TextureBank, condition: Condition, lamps: NDArray, seed: int) -> None:
        self.condition = condition
        self.bank = bank
        self.mesh = mesh
        self.lamps = np.asarray(lamps, np.float32)
        bank.freeze()
        self._embree = EmbreeScene()
        TriangleMesh(self._embree, np.ascontiguousarray(mesh.corners))
        # Embree builds its tree at the first ray: here, before worker processes are forked.
        self.cast(np.array([[0, 0, 50]], np.float32), np.array([[0, 0, -1]], np.float32))
        self._columns = _shading_columns(mesh)
        self._sky = _paint_sky(condition, seed)

    def cast(self, origins: F32, directions: F32) -> Hits:
        """The first surface on each ray; directions (N, 3) are unit vectors."""
        found = self._embree.run(origins, directions, output=1)
        distance = np.where(found["primID"] < 0, np.float32(np.inf), found["tfar"])
        return Hits(distance, found["primID"], found["u"], found["v"])

    def is_shadowed(self, points: F32, direction: F32) -> NDArray[np.bool_]:
        """Whether something stands between points (N, 3) and a far light in a direction (3,)."""
        directions = np.ascontiguousarray(np.broadcast_to(direction.astype(np.float32), points.shape))
        return self._embree.run(points, directions, query="OCCLUDED") >= 0

    def normals(self, hits: Hits, directions: F32) -> F32:
        """Unit normals (N, 3) of what was hit, towards the viewer; of no meaning for the sky."""
        n = self.mesh.normal[hits.triangle]
        return n * -np.sign(np.einsum("ij,ij->i", n, directions))[:, None]

    def radiance(
        self, origins: F32, directions: F32, pixel_angle: float, dither: F32, headlights: NDArray | None = None
    ) -> tuple[F32, Hits]:
        """Linear light (N, 3) along rays, and what they hit.

        Args:
            pixel_angle: angle in radians that a ray stands for.
            dither: (N,) within [0, 1), see TextureBank.sample.
            headlights: pose (4, 4) of the vehicle whose headlights are lit, if any.
        """
        hits = self.cast(origins, directions)
        solid = hits.triangle >= 0
        light = np.empty((len(directions), 3), np.float32)
        light[~solid] = self._sky_light(directions[~solid])
        d = directions[solid]
        light[solid] = self._surface(
            origins[solid], d, hits.triangle[solid], hits.distance[solid], hits.u[solid], hits.v[solid],
            pixel_angle, dither[solid], headlights,
        )  # fmt: skip
        return light, hits

    def _surface(
        self, o: F32, d: F32, triangle: NDArray, distance: F32, u: F32, v: F32, pixel_angle: float, dither: F32,
        headlights: NDArray | None,
    ) -> F32:  # fmt: skip
        condition, columns = self.condition, self._columns
        texture = self.mesh.texture[triangle]
        nx, ny, nz, gx, gy, gz, u0, v0, u1, v1, u2, v2 = (column[triangle] for column in columns)
        facing = nx * d[:, 0] + ny * d[:, 1] + nz * d[:, 2]
        flip = -np.sign(facing)
        slant = np.maximum(np.abs(facing), np.float32(0.02))
        spot = distance * np.float32(pixel_angle)
        # A pixel's footprint along the texture's axes: the plane's foreshortening, split by axis.
        along_u = (gx * d[:, 0] + gy * d[:, 1] + gz * d[:, 2]) / slant
        along_v = np.maximum(1 / (slant * slant) - 1 - along_u * along_u, 0)
        texel = self.bank.sample(
            texture,
            u0 + u * u1 + v * u2,
            v0 + u * v1 + v * v2,
            spot * np.sqrt(1 + along_u * along_u),
            spot * np.sqrt(1 + along_v),
            dither,
        )
        colour = _LINEAR[texel[:, :3].astype(np.uint8)] * self.mesh.tint[triangle]
        extra = texel[:, 3] * np.float32(1 / 255)
        nx, ny, nz = nx * flip, ny * flip, nz * flip
        points = o + d * distance[:, None]
        light = self._skylight(points, nx, ny, nz)
        if condition.has_sun:
            light += self._sunlight(points, nx, ny, nz)
        if condition.is_night:
            normals = np.stack([nx, ny, nz], 1)
            self._add_lamps(light, points, normals)
            if headlights is not None:
                _add_headlights(light, points, normals, headlights)
        light *= colour
        if condition.is_night:
            light += colour * (extra * np.float32(0.9))[:, None]
        else:
            self._add_shine(light, d, nz, facing, extra)
        haze = np.exp(distance * np.float32(-1 / condition.haze_m))[:, None]
        return light * haze + (1 - haze) * np.float32(condition.horizon)

    def _skylight(self, points: F32, nx: F32, ny: F32, nz: F32) -> F32:
        """Light from the sky and the ground, brighter from one side; low walls see less of the sky."""
        condition = self.condition
        sx, sy, _ = condition.sun_direction.astype(np.float32)
        up = nz * np.float32(0.5) + np.float32(0.5) + np.float32(0.13) * (nx * sx + ny * sy)
        upright = 1 - np.abs(nz)
        open_share = 1 - upright * np.float32(0.34) * (1 - np.clip(points[:, 2] * np.float32(1 / 11), 0, 1))
        up *= open_share
        return np.outer(up, np.float32(condition.sky)) + np.outer(1 - up, np.float32(condition.bounce))

    def _sunlight(self, points: F32, nx: F32, ny: F32, nz: F32) -> F32:
        sx, sy, sz = self.condition.sun_direction.astype(np.float32)
        cosine = nx * sx + ny * sy + nz * sz
        lit = np.flatnonzero(cosine > 0.01)
        # Started off the surface, so that it does not shade itself.
        start = points[lit] + np.stack([nx[lit], ny[lit], nz[lit]], 1) * np.float32(0.012)
        seen = ~self.is_shadowed(start, self.condition.sun_direction)
        out = np.zeros(len(points), np.float32)
        out[lit[seen]] = cosine[lit[seen]]
        return np.outer(out, np.float32(self.condition.sun))

    def _add_shine(self, light: F32, d: F32, nz: F32, facing: F32, shine: F32) -> None:
        """Reflection of the sky, or of the houses opposite, in glass and paint."""
        shiny = np.flatnonzero(shine > 0.06)
        if not len(shiny):
            return
        cosine = np.abs(facing[shiny])
        mirrored = d[shiny, 2] + 2 * cosine * nz[shiny]
        fresnel = (np.float32(0.1) + np.float32(0.9) * (1 - cosine) ** 4) * shine[shiny]
        seen = np.clip((mirrored - np.float32(0.2)) * np.float32(1.8), 0, 1)[:, None]
        sky = np.float32(self.condition.horizon) * seen + np.float32(self.condition.bounce) * (1 - seen) * np.float32(0.7)
        light[shiny] += (sky - light[shiny]) * np.minimum(fresnel * np.float32(1.6), 0.85)[:, None]

    def _add_lamps(self, light: F32, points: F32, normals: F32) -> None:
        low, high = points.min(0) - LAMP_RANGE_M, points.max(0) + LAMP_RANGE_M
        near = ((self.lamps > low) & (self.lamps < high)).all(1)
        for lamp in self.lamps[near]:
            flat = (points[:, 0] - lamp[0]) ** 2 + (points[:, 1] - lamp[1]) ** 2
            reached = np.flatnonzero(flat < LAMP_RANGE_M**2)
            if not len(reached):
                continue
            to = lamp - points[reached]
            square = np.einsum("ij,ij->i", to, to)
            away = np.sqrt(square)
            cosine = np.einsum("ij,ij->i", to, normals[reached]) / away
            # The shade sends the light downwards, and cuts it off smoothly above the lamp's height.
            down = np.clip(to[:, 2] / away + np.float32(0.12), 0, 1)
            strength = np.maximum(cosine, 0) * down * (1 - square / LAMP_RANGE_M**2) * (48 / (square + 2))
            light[reached] += np.outer(strength, np.float32((1.0, 0.68, 0.36)))

    def _sky_light(self, d: F32) -> F32:
        h, w = self._sky.shape[:2]
        azimuth = np.arctan2(d[:, 1], d[:, 0]) * np.float32(w / (2 * np.pi))
        column = azimuth.astype(np.int32) % w
        row = np.clip(np.arcsin(np.clip(d[:, 2], 0, 1)) * np.float32(2 / np.pi * h), 0, h - 1).astype(np.int32)
        return self._sky[row, column]


def _shading_columns(mesh: Mesh) -> tuple[F32, ...]:
    """Per triangle: normal, unit direction of the texture's u, and uv as an affine function."""
    e1, e2 = mesh.corners[:, 1] - mesh.corners[:, 0], mesh.corners[:, 2] - mesh.corners[:, 0]
    d1, d2 = mesh.uv[:, 1] - mesh.uv[:, 0], mesh.uv[:, 2] - mesh.uv[:, 0]
    # The gradient of u in the plane: it is orthogonal to the edge combination that leaves u alone.
    flat = d2[:, :1] * e1 - d1[:, :1] * e2
    gradient = np.cross(np.cross(e1, e2), flat)
    length = np.linalg.norm(gradient, axis=1, keepdims=True)
    gradient = np.where(length > 1e-12, gradient / np.maximum(length, 1e-12), 0)
    columns = (*mesh.normal.T, *gradient.T, *mesh.uv[:, 0].T, *d1.T, *d2.T)
    return tuple(np.ascontiguousarray(column, np.float32) for column in columns)


def _add_headlights(light: F32, points: F32, normals: F32, T_map_base: NDArray) -> None:
    """Two dipped beams, half a metre above the ground at the vehicle's front."""
    forward = T_map_base[:3, 0].astype(np.float32)
    left = T_map_base[:3, 1].astype(np.float32)
    for side in (0.65, -0.65):
        place = T_map_base[:3, 3] + 1.9 * T_map_base[:3, 0] + side * T_map_base[:3, 1] + (0, 0, 0.65)
        ray = points - place.astype(np.float32)
        ahead = ray @ forward
        near = np.flatnonzero((ahead > 0.3) & (ahead < 70))
        ray, ahead = ray[near], ahead[near]
        square = np.einsum("ij,ij->i", ray, ray)
        across = (ray @ left) / ahead
        above = (ray[:, 2] + np.float32(0.012) * ahead) / ahead
        beam = np.exp(-((across / np.float32(0.42)) ** 2)) * np.exp(-np.square(np.where(above > 0, above / 0.035, above / 0.16)))
        beam += np.float32(0.05) * np.exp(-((across / np.float32(0.9)) ** 2))
        cosine = np.clip(-np.einsum("ij,ij->i", ray, normals[near]) / np.sqrt(square), 0, 1) * np.float32(0.8) + np.float32(0.2)
        light[near] += np.outer(beam * cosine * (45 / (square + 12)), np.float32((1.0, 0.95, 0.85)))


def _paint_sky(condition: Condition, seed: int) -> F32:
    """The sky by elevation (rows, horizon first) and azimuth (columns); clouds differ by drive."""
    h, w = 256, 1536
    rng = stream(seed, "sky", condition.name)
    height = np.sin(np.linspace(0, np.pi / 2, h, dtype=np.float32))[:, None, None]
    gradient = height**0.45
    sky = np.float32(condition.horizon) * (1 - gradient) + np.float32(condition.zenith) * gradient
    sky = np.broadcast_to(sky, (h, w, 3)).copy()
    turned = noise(rng, h * 2, w, 160, 5)[:h]
    wrap = np.linspace(0, 1, w, dtype=np.float32)
    turned = turned * (1 - wrap) + np.roll(turned[:, ::-1], 0, 1) * wrap
    if condition.clouds < 1:
        cover = np.clip((turned + 1.6 * (condition.clouds - 0.5)) * 0.9, 0, 1)[..., None] * np.clip(height * 5, 0, 1)
        body = np.float32((1.0, 0.99, 0.97)) * (1.0 - 0.22 * np.clip(turned, 0, 1.5))[..., None]
        sky += (body * max(condition.horizon) - sky) * cover
    else:
        sky *= 1 + 0.16 * np.clip(turned, -2, 2)[..., None]
    if condition.has_sun:
        rows, columns = np.mgrid[:h, :w]
        elevation, azimuth = rows / h * np.pi / 2, columns / w * 2 * np.pi
        toward = np.stack([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], 2)
        cosine = (toward @ condition.sun_direction).astype(np.float32)
        glare = 0.5 * np.clip(cosine, 0, 1) ** 24 + 12 * (cosine > np.cos(np.radians(1.2)))
        sky += cv2.GaussianBlur(glare.astype(np.float32), (0, 0), 1.5)[..., None] * np.float32(condition.sun)
    return np.maximum(sky, 0).astype(np.float32)
