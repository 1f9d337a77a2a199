"""Houses as triangles: recessed windows, sills, cornices, balconies, bays, roofs."""

from __future__ import annotations

import numpy as np

from scene_geo_loc.simulation.architecture import Colour, Finish, House, Opening
from scene_geo_loc.simulation.facades import Canvas, fascia_span, paint_front
from scene_geo_loc.simulation.mesh import MeshBuilder
from scene_geo_loc.simulation.patterns import WALLS
from scene_geo_loc.simulation.randomness import stream
from scene_geo_loc.simulation.stock import Stock, tint_of


def add_house(
    mesh: MeshBuilder, stock: Stock, house: House, finish: Finish, drive: str, texel_m: float, is_night: bool, snow: bool
) -> None:
    """Adds a house on its plot, its front painted into the stock's bank."""
    plot = house.plot
    rng = stream(stock.seed, "front", plot.index, drive)
    front = paint_front(house, finish, rng, texel_m, is_night, snow)
    texture = stock.bank.add(front.image, texel_m, front.extra)
    setback = float(stream(stock.seed, "setback", plot.index).uniform(-0.15, 0.3))
    with mesh.frame(plot.origin + setback * plot.inward, plot.along):
        _front(mesh, house, texture)
        _relief(mesh, stock, house, finish)
        _sides(mesh, stock, house, finish)
        _roof(mesh, stock, house, finish, texture)
        if house.has_shop:
            _shop_front(mesh, stock, house, finish)


def _front(mesh: MeshBuilder, house: House, texture: int) -> None:
    """The wall with holes, and the panes and reveals in them."""
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
        depth = np.array([{"window": house.reveal, "shop": 0.12, "door": 0.35, "garage": 0.2}[o.kind] for o in row])
        mesh.walls(a, b, foot, head, depth, texture)
        _reveals(mesh, a, b, foot, head, depth, texture)


def _reveals(
    mesh: MeshBuilder, a: np.ndarray, b: np.ndarray, foot: np.ndarray, head: np.ndarray, depth: np.ndarray, texture: int
) -> None:
    """The four sides of each hole, in the colour of the wall beside it."""
    zero = np.zeros_like(a)
    for x, edge in ((a, -0.04), (b, 0.04)):
        ys, zs = np.stack([zero, depth, depth, zero], 1), np.stack([foot, foot, head, head], 1)
        xs = np.repeat(x[:, None], 4, 1)
        mesh.quads(np.stack([xs, ys, zs], 2), np.stack([xs + edge + 0.02 * ys, zs], 2), texture)
    for z, edge in ((foot, -0.04), (head, 0.04)):
        xs, ys = np.stack([a, b, b, a], 1), np.stack([zero, zero, depth, depth], 1)
        zs = np.repeat(z[:, None], 4, 1)
        mesh.quads(np.stack([xs, ys, zs], 2), np.stack([xs, zs + edge + 0.02 * ys], 2), texture)


def _relief(mesh: MeshBuilder, stock: Stock, house: House, finish: Finish) -> None:
    """Sills, string courses, cornice, balconies, a bay and a rain pipe."""
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
        mesh.boxes([(0, -0.07, z - 0.1) for z in house.floors[1:-1]], [(width, 0, z + 0.06) for z in house.floors[1:-1]], plain, trim)
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
    mesh.boxes([(pipe - 0.045, -0.12, 0.2)], [(pipe + 0.045, -0.03, house.height)], plain, tint_of((96, 98, 96)))


def _balcony(mesh: MeshBuilder, stock: Stock, o: Opening, finish: Finish) -> None:
    plain, out, foot = stock["plain"], 0.85, o.z0 - 0.16
    x0, x1, rail = o.x0 - 0.35, o.x1 + 0.35, o.z0 + 0.9
    mesh.boxes([(x0, -out, foot)], [(x1, 0, foot + 0.13)], plain, tint_of(finish.trim))
    iron = tint_of((44, 46, 50))
    mesh.boxes([(x0, -out, rail)], [(x1, -out + 0.05, rail + 0.05)], plain, iron)
    mesh.boxes([(x0, -out, rail), (x1 - 0.05, -out, rail)], [(x0 + 0.05, 0, rail + 0.05), (x1, 0, rail + 0.05)], plain, iron)
    xs = np.arange(x0, x1, 0.14)
    mesh.boxes([(x, -out + 0.01, foot) for x in xs], [(x + 0.025, -out + 0.04, rail) for x in xs], plain, iron)
    ys = np.arange(-out + 0.14, 0, 0.14)
    for x in (x0, x1 - 0.04):
        mesh.boxes([(x, y, foot) for y in ys], [(x + 0.03, y + 0.025, rail) for y in ys], plain, iron)


def _bay(mesh: MeshBuilder, stock: Stock, house: House, finish: Finish) -> None:
    """A bay that juts out over the pavement through all upper floors but the last."""
    first = [o for o in house.openings if o.floor == 1]
    o = first[house.bay or 0]
    x0, x1, out = max(0.15, o.x0 - 0.3), min(house.plot.width - 0.15, o.x1 + 0.3), 0.75
    low, high = house.floors[1] - 0.1, house.floors[-2] if len(house.floors) > 3 else house.floors[-1]
    wall = tint_of(finish.wall_below)
    mesh.boxes([(x0, -out, low), (x0 - 0.1, -out - 0.1, high)], [(x1, 0, high), (x1 + 0.1, 0, high + 0.15)], stock["plain"], wall)
    for floor in range(1, len(house.floors) - 1):
        z0, z1 = house.floors[floor] + 0.75, house.floors[floor] + 2.3
        if z1 > high:
            break
        mesh.boxes([(x0 + 0.12, -out - 0.04, z0)], [(x1 - 0.12, -out - 0.01, z1)], stock["plain"], tint_of(finish.frame))
        panes = np.linspace(x0 + 0.17, x1 - 0.17, 3)
        mesh.walls(panes[:-1], panes[1:] - 0.05, z0 + 0.06, z1 - 0.06, -out - 0.045, stock["glass"])


def _sides(mesh: MeshBuilder, stock: Stock, house: House, finish: Finish) -> None:
    """Side and back walls; a side that is seen from the street is painted for itself."""
    width, depth, top = house.plot.width, house.depth, house.height
    tint = tint_of(finish.wall)
    ridge = _ridge_height(house)
    lift = 1.0 if house.roof == "flat" else 0.0
    for x, is_open in ((0.0, house.plot.open_left), (width, house.plot.open_right)):
        outline = [(x, 0, 0), (x, depth, 0), (x, depth, top + lift), (x, 0, top + lift)]
        if house.roof in ("eaves", "mansard"):
            outline.insert(3, (x, depth / 2, ridge))
        corners = np.array(outline)
        uv = corners[:, 1:] if x else corners[:, 1:] * (-1, 1) + (depth, 0)
        fan = [[0, i, i + 1] for i in range(1, len(corners) - 1)]
        if is_open:
            side = _paint_side(house, finish, stream(stock.seed, "side", house.plot.index, int(x > 0)), ridge + 0.2)
            mesh.triangles(corners[fan], uv[fan], stock.bank.add(side.image, side.texel_m, side.extra))
        else:
            mesh.triangles(corners[fan], uv[fan], stock[house.wall], tint)
    mesh.polygon([(0, depth, 0), (width, depth, 0), (width, depth, top), (0, depth, top)], stock[house.wall], tint)


def _paint_side(house: House, finish: Finish, rng: np.random.Generator, height: float) -> Canvas:
    """A side wall: few windows, often a faded advertisement."""
    canvas = Canvas.blank(house.depth, height, 0.04)
    h, w = canvas.image.shape[:2]
    material = house.wall if rng.random() < 0.5 else "brick"
    canvas.image[:] = WALLS[material](rng, h, w, 0.04, finish.wall if material == house.wall else (150, 92, 72))
    depth = house.depth
    if rng.random() < 0.5:
        x0, x1 = depth * 0.12, depth * 0.88
        z0, z1 = house.height * rng.uniform(0.3, 0.45), house.height * 0.92
        paint: Colour = finish.shop
        canvas.fill(x0, x1, z0, z1, paint)
        lines = [finish.shop_name, ("since 1887", "est. 1921", "open daily", "quality")[int(rng.integers(4))]]
        canvas.write(lines[0], x0 + 0.4, x1 - 0.4, z0 + 0.5 * (z1 - z0), z1 - 0.25 * (z1 - z0), finish.shop_text, 4)
        canvas.write(lines[1], x0 + 1.2, x1 - 1.2, z0 + 0.16 * (z1 - z0), z0 + 0.36 * (z1 - z0), finish.shop_text, 7)
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


def _ridge_height(house: House) -> float:
    rise = {"eaves": house.depth / 2 * np.tan(min(house.roof_pitch, 0.75)), "mansard": 2.9}
    return house.height + float(rise.get(house.roof, 0.0))


def _roof(mesh: MeshBuilder, stock: Stock, house: House, finish: Finish, front: int) -> None:
    width, depth, top, tile = house.plot.width, house.depth, house.height, stock["roof"]
    tint = tint_of(finish.roof)
    ridge = _ridge_height(house)
    if house.roof == "flat":
        mesh.walls(0, width, top, top + 1.0, 0.0, front)
        mesh.boxes([(-0.04, -0.1, top + 0.95)], [(width + 0.04, 0.25, top + 1.05)], stock["plain"], tint_of(finish.trim))
        mesh.polygon([(0, 0, top), (width, 0, top), (width, depth, top), (0, depth, top)], stock["asphalt"], tint_of((120, 120, 120)))
        if house.plot.index % 2:
            mesh.boxes([(width * 0.3, depth * 0.4, top)], [(width * 0.3 + 3, depth * 0.4 + 3, top + 2.4)], stock["plain"], tint_of((150, 150, 150)))
    elif house.roof == "eaves":
        out = 0.35
        drop = out * (ridge - top) / (depth / 2)
        for y, far in ((-out, depth / 2), (depth + out, depth / 2)):
            mesh.polygon([(-0.1, y, top - drop), (width + 0.1, y, top - drop), (width + 0.1, far, ridge), (-0.1, far, ridge)], tile, tint)
        mesh.boxes([(0, -out - 0.1, top - drop - 0.08)], [(width, -out, top - drop + 0.05)], stock["plain"], tint_of((90, 92, 92)))
    elif house.roof == "mansard":
        steep, inset = 2.4, 0.8
        for y, far in ((-0.1, inset), (depth + 0.1, depth - inset)):
            mesh.polygon([(0, y, top), (width, y, top), (width, far, top + steep), (0, far, top + steep)], tile, tint)
        for y in (inset, depth - inset):
            mesh.polygon([(0, y, top + steep), (width, y, top + steep), (width, depth / 2, ridge), (0, depth / 2, ridge)], tile, tint)
    else:
        peak = top + width / 2 * np.tan(house.roof_pitch)
        for x in (0.0, width):
            outer = -0.15 if x == 0 else width + 0.15
            mesh.polygon([(outer, 0.02, top - 0.12), (width / 2, 0.02, peak), (width / 2, depth, peak), (outer, depth, top - 0.12)], tile, tint)
        gable = np.array([[(0, 0, top), (width, 0, top), (width / 2, 0, peak)]])
        mesh.triangles(gable, gable[..., [0, 2]], front)
        if house.roof == "stepped":
            steps = 5
            xs = np.linspace(0, width / 2, steps + 1)
            zs = top + xs[1:] * np.tan(house.roof_pitch)
            for a, b in ((xs[:-1], xs[1:]), (width - xs[1:], width - xs[:-1])):
                mesh.walls(a, b, top, zs, -0.04, front)
                mesh.boxes(np.stack([a - 0.05, zs * 0 - 0.1, zs - 0.1], 1), np.stack([b + 0.05, zs * 0 + 0.3, zs + 0.05], 1), stock["plain"], tint_of(finish.trim))
    for number in range(house.chimneys if house.roof != "flat" else 0):
        x = width * (0.22 + 0.5 * number)
        mesh.boxes([(x, depth * 0.42, top)], [(x + 0.8, depth * 0.42 + 0.6, max(ridge, top + 2) + 1.1)], stock["brick"], tint_of((150, 90, 70)))
    for number in range(house.dormers):
        _dormer(mesh, stock, house, finish, width * (number + 1) / (house.dormers + 1), ridge)


def _dormer(mesh: MeshBuilder, stock: Stock, house: House, finish: Finish, x: float, ridge: float) -> None:
    slope = (ridge - house.height) / (house.depth / 2) if house.roof == "eaves" else 2.7
    y = 0.9 if house.roof == "eaves" else 0.05
    foot = house.height + (y * slope if house.roof == "eaves" else 0.35)
    mesh.boxes([(x - 0.65, y, foot - 0.3)], [(x + 0.65, y + 2.0, foot + 1.25)], stock["plain"], tint_of(finish.trim))
    mesh.walls([x - 0.5, x + 0.04], [x - 0.04, x + 0.5], foot + 0.1, foot + 1.05, y - 0.02, stock["glass"])
    for side in (-1, 1):
        mesh.polygon([(x + side * 0.8, y - 0.15, foot + 1.2), (x, y - 0.15, foot + 1.75), (x, y + 2.2, foot + 1.75), (x + side * 0.8, y + 2.2, foot + 1.2)], stock["roof"], tint_of(finish.roof))
    mesh.polygon([(x - 0.65, y, foot + 1.25), (x + 0.65, y, foot + 1.25), (x, y, foot + 1.7)], stock["plain"], tint_of(finish.trim))


def _shop_front(mesh: MeshBuilder, stock: Stock, house: House, finish: Finish) -> None:
    """The board over the shop, an awning and a sign that hangs out over the pavement."""
    low, high = fascia_span(house)
    width = house.plot.width
    mesh.boxes([(0.2, -0.13, high)], [(width - 0.2, 0, high + 0.07)], stock["plain"], tint_of(finish.trim))
    mesh.boxes([(0.2, -0.1, low - 0.05)], [(width - 0.2, 0, low)], stock["plain"], tint_of(finish.shop))
    if finish.awning is not None:
        out, drop = 1.25, 0.75
        texture = stock["stripes"] if finish.details % 2 else stock["plain"]
        for o in (o for o in house.openings if o.kind == "shop"):
            a, b = o.x0 - 0.1, o.x1 + 0.1
            corners = [(a, -0.02, low), (b, -0.02, low), (b, -out, low - drop), (a, -out, low - drop)]
            mesh.polygon(corners, texture, tint_of(finish.awning))
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
            corners = np.array([[(x + shift, -1.0, z), (x + shift, -0.2, z), (x + shift, -0.2, z + 0.8), (x + shift, -1.0, z + 0.8)]])
            mirrored = corners[..., 1] + 1.0 if shift else -0.2 - corners[..., 1]
            mesh.quads(corners, np.stack([mirrored, corners[..., 2] - z], 2), texture)
        mesh.boxes([(x, -1.0, z + 0.82)], [(x + 0.06, 0, z + 0.87)], stock["plain"], tint_of((40, 40, 42)))

