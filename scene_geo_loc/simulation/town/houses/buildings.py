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

"""Geometry of houses: recessed windows, sills, cornices, balconies, bays, roofs."""

from __future__ import annotations

import numpy as np

from scene_geo_loc.simulation.materials.canvas import Canvas, Colour
from scene_geo_loc.simulation.materials.patterns import WALLS
from scene_geo_loc.simulation.materials.stock import Stock, tint_of
from scene_geo_loc.simulation.randomness import stream
from scene_geo_loc.simulation.rendering.mesh import MeshBuilder
from scene_geo_loc.simulation.town.houses.architecture import Finish, House, Opening
from scene_geo_loc.simulation.town.houses.facades import fascia_span, paint_front
from scene_geo_loc.simulation.town.houses.roofs import add_roof, ridge_height


def add_house(
    mesh: MeshBuilder,
    stock: Stock,
    house: House,
    finish: Finish,
    drive: str,
    texel_m: float,
    is_night: bool,
    snow: bool,
) -> None:
    """Adds a house on its plot, and its painted front to the stock's texture bank."""
    plot = house.plot
    rng = stream(stock.seed, "front", plot.index, drive)
    front = paint_front(house, finish, rng, texel_m, is_night, snow)
    texture = stock.bank.add(front.image, texel_m, front.extra)
    setback = float(stream(stock.seed, "setback", plot.index).uniform(-0.15, 0.3))
    with mesh.frame(plot.origin + setback * plot.inward, plot.along):
        _front(mesh, house, texture)
        _relief(mesh, stock, house, finish)
        _sides(mesh, stock, house, finish, texel_m)
        add_roof(mesh, stock, house, finish, texture)
        if house.has_shop:
            _shop_front(mesh, stock, house, finish)


def _front(mesh: MeshBuilder, house: House, texture: int) -> None:
    """Adds the front wall with its openings, and their panes and reveals."""
    width = house.plot.width
    for floor in range(len(house.floors) - 1):
        low, high = house.floors[floor], house.floors[floor + 1]
        row = [o for o in house.openings if o.floor == floor]
        x0 = np.array([0.0] + [o.x1 for o in row])
        x1 = np.array([o.x0 for o in row] + [width])
        mesh.walls(x0, x1, low, high, 0.0, texture)
        if not row:
            continue
        a, b, foot, head = (np.array([getattr(o, name) for o in row]) for name in ("x0", "x1", "z0", "z1"))
        mesh.walls(a, b, low, foot, 0.0, texture)
        mesh.walls(a, b, head, high, 0.0, texture)
        depth = np.array(
            [{"window": house.reveal, "shop": 0.12, "door": 0.35, "garage": 0.2}[o.kind] for o in row]
        )
        mesh.walls(a, b, foot, head, depth, texture)
        _reveals(mesh, a, b, foot, head, depth, texture)


def _reveals(
    mesh: MeshBuilder,
    a: np.ndarray,
    b: np.ndarray,
    foot: np.ndarray,
    head: np.ndarray,
    depth: np.ndarray,
    texture: int,
) -> None:
    """Adds the four sides of each opening, in the colour of the wall beside it."""
    zero = np.zeros_like(a)
    for x, edge in ((a, -0.04), (b, 0.04)):
        ys, zs = np.stack([zero, depth, depth, zero], 1), np.stack([foot, foot, head, head], 1)
        xs = np.repeat(x[:, None], 4, 1)
        mesh.quads(np.stack([xs, ys, zs], 2), np.stack([xs + edge, zs], 2), texture)
    for z, edge in ((foot, -0.04), (head, 0.04)):
        xs, ys = np.stack([a, b, b, a], 1), np.stack([zero, zero, depth, depth], 1)
        zs = np.repeat(z[:, None], 4, 1)
        mesh.quads(np.stack([xs, ys, zs], 2), np.stack([xs, zs + edge], 2), texture)


def _relief(mesh: MeshBuilder, stock: Stock, house: House, finish: Finish) -> None:
    """Adds sills, string courses, cornice, balconies, a bay and a rain pipe."""
    plain, width = stock["plain"], house.plot.width
    trim = tint_of(finish.trim)
    windows = [o for o in house.openings if o.kind == "window"]
    if house.sills and windows:
        mesh.boxes(
            [(o.x0 - 0.08, -0.1, o.z0 - 0.08) for o in windows],
            [(o.x1 + 0.08, 0.05, o.z0) for o in windows],
            plain,
            trim,
        )
    if house.string_course:
        mesh.boxes(
            [(0, -0.07, z - 0.1) for z in house.floors[1:-1]],
            [(width, 0, z + 0.06) for z in house.floors[1:-1]],
            plain,
            trim,
        )
    if house.roof not in ("gable", "stepped"):
        steps = ((0.0, 1.0), (0.14, 0.6))
        mesh.boxes(
            [(-0.03, -house.cornice * part, house.height - 0.2 - drop) for drop, part in steps],
            [(width + 0.03, 0.0, house.height - drop) for drop, _ in steps],
            plain,
            trim,
        )
    for number in house.balconies:
        _balcony(mesh, stock, house.openings[number], finish)
    if house.bay is not None:
        _bay(mesh, stock, house, finish)
    pipe = 0.12 if house.plot.index % 2 else width - 0.12
    mesh.boxes(
        [(pipe - 0.045, -0.12, 0.2)], [(pipe + 0.045, -0.03, house.height)], plain, tint_of((96, 98, 96))
    )


def _balcony(mesh: MeshBuilder, stock: Stock, o: Opening, finish: Finish) -> None:
    plain, out, foot = stock["plain"], 0.85, o.z0 - 0.16
    x0, x1, rail = o.x0 - 0.35, o.x1 + 0.35, o.z0 + 0.9
    mesh.boxes([(x0, -out, foot)], [(x1, 0, foot + 0.13)], plain, tint_of(finish.trim))
    iron = tint_of((44, 46, 50))
    mesh.boxes([(x0, -out, rail)], [(x1, -out + 0.05, rail + 0.05)], plain, iron)
    mesh.boxes(
        [(x0, -out, rail), (x1 - 0.05, -out, rail)],
        [(x0 + 0.05, 0, rail + 0.05), (x1, 0, rail + 0.05)],
        plain,
        iron,
    )
    xs = np.arange(x0, x1, 0.14)
    mesh.boxes(
        [(x, -out + 0.01, foot) for x in xs], [(x + 0.025, -out + 0.04, rail) for x in xs], plain, iron
    )
    ys = np.arange(-out + 0.14, 0, 0.14)
    for x in (x0, x1 - 0.04):
        mesh.boxes([(x, y, foot) for y in ys], [(x + 0.03, y + 0.025, rail) for y in ys], plain, iron)


def _bay(mesh: MeshBuilder, stock: Stock, house: House, finish: Finish) -> None:
    """Adds a bay over the pavement through all upper floors but the last."""
    first = [o for o in house.openings if o.floor == 1]
    o = first[house.bay or 0]
    x0, x1, out = max(0.15, o.x0 - 0.3), min(house.plot.width - 0.15, o.x1 + 0.3), 0.75
    low, high = house.floors[1] - 0.1, house.floors[-2] if len(house.floors) > 3 else house.floors[-1]
    wall = tint_of(finish.wall_below)
    mesh.boxes(
        [(x0, -out, low), (x0 - 0.1, -out - 0.1, high)],
        [(x1, 0, high), (x1 + 0.1, 0, high + 0.15)],
        stock["plain"],
        wall,
    )
    for floor in range(1, len(house.floors) - 1):
        z0, z1 = house.floors[floor] + 0.75, house.floors[floor] + 2.3
        if z1 > high:
            break
        mesh.boxes(
            [(x0 + 0.12, -out - 0.04, z0)],
            [(x1 - 0.12, -out - 0.01, z1)],
            stock["plain"],
            tint_of(finish.frame),
        )
        panes = np.linspace(x0 + 0.17, x1 - 0.17, 3)
        mesh.walls(panes[:-1], panes[1:] - 0.05, z0 + 0.06, z1 - 0.06, -out - 0.045, stock["glass"])


def _sides(mesh: MeshBuilder, stock: Stock, house: House, finish: Finish, texel_m: float) -> None:
    """Adds side and back walls; a side that is visible from near has its own texture."""
    width, depth, top = house.plot.width, house.depth, house.height
    tint = tint_of(finish.wall)
    ridge = ridge_height(house)
    lift = 1.0 if house.roof == "flat" else 0.0
    for x, is_open in ((0.0, house.plot.open_left), (width, house.plot.open_right)):
        outline = [(x, 0, 0), (x, depth, 0), (x, depth, top + lift), (x, 0, top + lift)]
        if house.roof in ("eaves", "mansard"):
            outline.insert(3, (x, depth / 2, ridge))
        corners = np.array(outline)
        uv = corners[:, 1:] if x else corners[:, 1:] * (-1, 1) + (depth, 0)
        fan = [[0, i, i + 1] for i in range(1, len(corners) - 1)]
        if is_open and texel_m < 0.05:
            side = _paint_side(
                house, finish, stream(stock.seed, "side", house.plot.index, int(x > 0)), ridge + 0.2
            )
            mesh.triangles(corners[fan], uv[fan], stock.bank.add(side.image, side.texel_m, side.extra))
        else:
            mesh.triangles(corners[fan], uv[fan], stock[house.wall], tint)
    mesh.polygon(
        [(0, depth, 0), (width, depth, 0), (width, depth, top), (0, depth, top)], stock[house.wall], tint
    )


def _paint_side(house: House, finish: Finish, rng: np.random.Generator, height: float) -> Canvas:
    """Returns a painted side wall: few windows, often a faded advertisement."""
    canvas = Canvas.blank(house.depth, height, 0.04)
    h, w = canvas.image.shape[:2]
    material = house.wall if rng.random() < 0.5 else "brick"
    canvas.image[:] = WALLS[material](
        rng, h, w, 0.04, finish.wall if material == house.wall else (150, 92, 72)
    )
    depth = house.depth
    if rng.random() < 0.5:
        x0, x1 = depth * 0.12, depth * 0.88
        z0, z1 = house.height * rng.uniform(0.3, 0.45), house.height * 0.92
        paint: Colour = finish.shop
        canvas.fill(x0, x1, z0, z1, paint)
        lines = [finish.shop_name, ("since 1887", "est. 1921", "open daily", "quality")[int(rng.integers(4))]]
        canvas.write(
            lines[0], x0 + 0.4, x1 - 0.4, z0 + 0.5 * (z1 - z0), z1 - 0.25 * (z1 - z0), finish.shop_text, 4
        )
        canvas.write(
            lines[1], x0 + 1.2, x1 - 1.2, z0 + 0.16 * (z1 - z0), z0 + 0.36 * (z1 - z0), finish.shop_text, 7
        )
        worn = WALLS[material](rng, h, w, 0.04, finish.wall)
        share = np.clip(rng.uniform(0.1, 0.4) + 0.25 * np.float32(rng.random((h, w)) > 0.6), 0, 1)[..., None]
        canvas.image = (canvas.image * (1 - share) + worn * share).astype(np.uint8)
    else:
        for floor in house.floors[:-1]:
            for x in np.arange(1.2, depth - 1.4, rng.uniform(2.4, 4.0)):
                if rng.random() < 0.6:
                    canvas.fill(x - 0.06, x + 0.96, floor + 0.95, floor + 2.4, finish.frame)
                    canvas.fill(x, x + 0.42, floor + 1.0, floor + 2.34, (48, 54, 60), 0)
                    canvas.fill(x + 0.48, x + 0.9, floor + 1.0, floor + 2.34, (44, 50, 56), 0)
    canvas.darken(0, depth, 0, 0.4, 0.75)
    return canvas


def _shop_front(mesh: MeshBuilder, stock: Stock, house: House, finish: Finish) -> None:
    """Adds the fascia of a shop, an awning and a projecting sign."""
    low, high = fascia_span(house)
    width = house.plot.width
    mesh.boxes([(0.2, -0.13, high)], [(width - 0.2, 0, high + 0.07)], stock["plain"], tint_of(finish.trim))
    mesh.boxes([(0.2, -0.1, low - 0.05)], [(width - 0.2, 0, low)], stock["plain"], tint_of(finish.shop))
    if finish.awning is not None:
        out, drop = 1.25, 0.75
        texture = stock["stripes"] if finish.details % 2 else stock["plain"]
        for o in (o for o in house.openings if o.kind == "shop"):
            a, b = o.x0 - 0.1, o.x1 + 0.1
            cloth = [(a, -0.02, low), (b, -0.02, low), (b, -out, low - drop), (a, -out, low - drop)]
            mesh.polygon(cloth, texture, tint_of(finish.awning))
            mesh.walls(a, b, low - drop - 0.22, low - drop, -out, texture)
    if finish.hanging_sign:
        canvas = Canvas.blank(0.8, 0.8, 0.02)
        canvas.fill(0, 0.8, 0, 0.8, finish.shop_text)
        canvas.fill(0.05, 0.75, 0.05, 0.75, finish.shop)
        canvas.write(finish.shop_name[:1], 0.15, 0.65, 0.32, 0.7, finish.shop_text, 4)
        canvas.write(finish.shop_name, 0.08, 0.72, 0.1, 0.26, finish.shop_text, 0)
        texture = stock.bank.add(canvas.image, 0.02, canvas.extra)
        x, z = width * (0.15 + 0.7 * (finish.details % 97) / 97), high + 0.25
        for shift in (0.0, 0.07):
            y, height = np.array([[-1.0, -0.2, -0.2, -1.0]]), np.array([[z, z, z + 0.8, z + 0.8]])
            corners = np.stack([np.full((1, 4), x + shift), y, height], 2)
            mesh.quads(corners, np.stack([y + 1.0 if shift else -0.2 - y, height - z], 2), texture)
        mesh.boxes([(x, -1.0, z + 0.82)], [(x + 0.06, 0, z + 0.87)], stock["plain"], tint_of((40, 40, 42)))
