"""What the things of the synthetic scenes look like, and the backdrop behind them. Notebook: 01_dataset."""

from __future__ import annotations

import numpy as np

from visage_lite.directions import Direction
from visage_lite.panorama import camera_axes

COLOURS = {  # each kind's colour: its name in captions, and red, green, blue
    "bell": ("golden", (235, 185, 40)), "drum": ("red", (205, 40, 35)), "engine": ("grey", (150, 150, 158)),
    "water": ("blue", (40, 110, 225)), "siren": ("violet", (150, 40, 190)), "bird": ("green", (60, 190, 70)),
    "ball": ("orange", (235, 120, 30)), "clock": ("white", (235, 232, 220)), "horn": ("copper", (205, 120, 70)),
    "singer": ("pink", (240, 180, 160)), "woodpecker": ("black", (45, 45, 60)), "guitar": ("brown", (185, 110, 50)),
}  # fmt: skip
REACH = 1.25  # how far an object is drawn, in units of its radius


def background(seed: int, rays: np.ndarray) -> np.ndarray:
    """A muted backdrop that differs with every seed: smooth waves over the sphere, a sky unlike the ground.

    Args:
        seed: the scene's.
        rays: unit vectors (front, left, up), float32 [M, 3].
    Returns: red, green, blue along the rays, float32 [M, 3], 0 to 255.
    Notebook: 01_dataset.
    """
    rng = np.random.default_rng([seed, 1])
    colour = rng.uniform(70, 170) + rng.uniform(-25, 25, 3) + np.tanh(6 * rays[:, 2:]) * rng.uniform(-25, 25, 3)
    colour = colour.astype(np.float32)
    for _ in range(8):
        wave, phase = rng.normal(size=3) * rng.uniform(1.5, 8), rng.uniform(0, 2 * np.pi)
        tint = rng.uniform(-9, 9) + rng.uniform(-4, 4, 3)  # mostly lighter and darker, a little coloured
        ripple = np.sin(rays @ wave.astype(np.float32) + np.float32(phase))
        colour += ripple[:, None] * tint.astype(np.float32)
    return np.clip(colour, 0, 255)


def draw(
    frame: np.ndarray, rays: np.ndarray, centre: np.ndarray, radius: float,
    kind: str, active: float, turn: float, colour: tuple[int, int, int],
) -> None:  # fmt: skip
    """Draw an object into a frame, in place, along the rays that meet it.

    Args:
        frame: uint8 [M, 3], what is seen along the rays.
        rays: unit vectors (front, left, up), float32 [M, 3].
        centre: unit vector toward the object, [3].
        radius: radians, from its middle to its edge.
        kind, active, turn, colour: as in `outline_and_paint`.
    """
    near = np.flatnonzero(rays @ centre.astype(np.float32) > np.cos(REACH * radius))
    if not len(near):
        return
    front, left, up = camera_axes(Direction.from_vector(centre)) @ rays[near].T.astype(float)
    across = np.hypot(left, up)
    scale = np.arctan2(across, front) / np.maximum(across, 1e-9) / radius
    x, y = -left * scale, up * scale  # right and up on the sphere, in units of the object's radius
    outside, paint = outline_and_paint(kind, x, y, active, turn, colour)
    cover = np.clip(0.5 - outside / 0.06, 0, 1)[:, None]  # soft edge of about one pixel
    frame[near] = np.clip(frame[near] * (1 - cover) + paint * cover, 0, 255).round().astype(np.uint8)


def outline_and_paint(
    kind: str, x: np.ndarray, y: np.ndarray, active: float, turn: float, colour: tuple[int, int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """How far each point lies outside the object's outline (negative inside), and the object's colour there.

    Args:
        kind: a key of COLOURS.
        x, y: [M], right and up of the object's centre, in units of its radius.
        active: 0 to 1, how loud it is just now.
        turn: radians, one turn in every period of its sound.
        colour: red, green, blue, 0 to 255: the object's own.
    Returns: float64 [M] and [M, 3]; parts that shine are brighter than 255.
    """
    if kind in _PARTS:
        outside, paint = _stack(_PARTS[kind](x, y, active, turn, np.asarray(colour, float)))
        return outside, paint + 0.25 * active * (255 - paint)  # a softer flash: their parts move as well
    outside, shade = _SHADES[kind](x, y, active, turn)
    paint = np.asarray(colour) * shade[:, None]
    return outside, paint + 0.55 * active * (255 - paint)  # the flash


def _bell(x: np.ndarray, y: np.ndarray, active: float, turn: float) -> tuple[np.ndarray, np.ndarray]:
    swing = 0.6 * active * np.cos(4 * turn)
    x, y = x * np.cos(swing) - y * np.sin(swing), x * np.sin(swing) + y * np.cos(swing)
    half_width = 0.3 + 0.5 * np.clip((0.85 - y) / 1.5, 0, 1) ** 2
    clapper = np.hypot(x - swing * 0.5, y + 0.8) - 0.2
    body = np.maximum(np.abs(x) - half_width, np.abs(y - 0.1) - 0.75)
    return np.minimum(body, clapper), np.where(body < 0, 1.0, 0.4)


def _drum(x: np.ndarray, y: np.ndarray, active: float, turn: float) -> tuple[np.ndarray, np.ndarray]:
    r = np.hypot(x, y * (1 + 0.35 * active))
    return r - 1, np.where(r > 0.78, 0.35, np.where(r < 0.25, 1.25, 1.0))


def _engine(x: np.ndarray, y: np.ndarray, active: float, turn: float) -> tuple[np.ndarray, np.ndarray]:
    spokes = np.sin(3 * (np.arctan2(y, x) - turn / 3)) > 0
    return np.maximum(np.abs(x), np.abs(y)) - 0.85, np.where(spokes & (np.hypot(x, y) < 0.7), 0.15, 1.0)


def _water(x: np.ndarray, y: np.ndarray, active: float, turn: float) -> tuple[np.ndarray, np.ndarray]:
    r = np.hypot(x, y)
    edge = 0.85 + 0.12 * np.cos(5 * np.arctan2(y, x) + turn)
    return r - edge, 0.8 + 0.4 * np.sin(12 * r - 2 * turn)


def _siren(x: np.ndarray, y: np.ndarray, active: float, turn: float) -> tuple[np.ndarray, np.ndarray]:
    beam = np.cos(np.arctan2(y, x) - turn)
    dome = np.where(y > -0.5, np.hypot(x, y) - 1, np.maximum(np.abs(x) - 0.87, np.abs(y + 0.7) - 0.25))
    return dome, np.where(y > -0.5, 0.6 + np.clip(beam, 0, 1) ** 4, 0.3)


def _bird(x: np.ndarray, y: np.ndarray, active: float, turn: float) -> tuple[np.ndarray, np.ndarray]:
    body = np.hypot(x / 0.4, y / 0.55) - 1
    wing = np.abs(y - (0.9 * active - 0.2) * np.abs(x)) - 0.35 * (1 - 0.6 * np.abs(x))
    wing = np.maximum(wing, np.abs(x) - 1)
    return np.minimum(0.4 * body, wing), np.where(body < 0, 1.0, 0.65)


Parts = list[tuple[np.ndarray, np.ndarray]]
_SHADES = {"bell": _bell, "drum": _drum, "engine": _engine, "water": _water, "siren": _siren, "bird": _bird}

# The others are made of parts, from the back to the front: how far outside each part, and its red, green, blue.
DARK, PALE, WOOD, GOLD, RED = (np.array(c, float) for c in (
    (40, 30, 30), (250, 245, 230), (120, 75, 40), (225, 175, 50), (210, 40, 45),
))  # fmt: skip


def _stack(parts: Parts) -> tuple[np.ndarray, np.ndarray]:
    """Parts laid over one another: how far each point is outside all of them, and the colour in front."""
    outside = np.stack([np.broadcast_to(part, parts[0][0].shape) for part, _ in parts])  # [parts, M]
    colours = np.stack([colour for _, colour in parts])
    paint = colours[outside.argmin(0)]
    for part, colour in zip(outside, colours):
        cover = np.clip(0.5 - part / 0.06, 0, 1)[:, None]
        paint = paint * (1 - cover) + colour * cover
    return outside.min(0), paint


def _disc(x: np.ndarray, y: np.ndarray, radius: float) -> np.ndarray:
    return np.hypot(x, y) - radius


def _oval(x: np.ndarray, y: np.ndarray, wide: float, high: float) -> np.ndarray:
    return (np.hypot(x / wide, y / high) - 1) * min(wide, high)


def _bar(x: np.ndarray, y: np.ndarray, start: tuple, end: tuple, thick: float) -> np.ndarray:
    """A straight bar with round ends, `thick` from its middle line to its edge."""
    x, y, along, up = x - start[0], y - start[1], end[0] - start[0], end[1] - start[1]
    share = np.clip((x * along + y * up) / (along**2 + up**2), 0, 1)
    return np.hypot(x - share * along, y - share * up) - thick


def _turned(x: np.ndarray, y: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates in a part that is turned anticlockwise by `angle` radians."""
    return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)


def _ball(x: np.ndarray, y: np.ndarray, active: float, turn: float, colour: np.ndarray) -> Parts:
    """It is flat while it hits the ground, and turns a little as it flies."""
    x, y = x / (1 + 0.15 * active), y * (1 + 0.35 * active)
    across, up = _turned(x, y, 0.5 + 0.15 * turn)
    seams = [np.abs(across), np.abs(up), np.abs(_disc(across - 1.15, up, 0.85)), np.abs(_disc(across + 1.15, up, 0.85))]
    seam = np.minimum.reduce(seams) - 0.05
    body = _disc(x, y, 0.95)
    return [(body, colour), (np.maximum(seam, body + 0.06), DARK), (_disc(x + 0.35, y - 0.4, 0.13), PALE)]


def _clock(x: np.ndarray, y: np.ndarray, active: float, turn: float, colour: np.ndarray) -> Parts:
    """The pendulum is in the middle at every tick; then the hand moves on."""
    swing, hand = 0.45 * np.sin(turn / 2), -np.pi / 6 * np.floor(turn / (2 * np.pi) + 1e-6)
    bob = (1.15 * np.sin(swing), 0.2 - 1.2 * np.cos(swing))
    face = [(_disc(x, y - 0.35, 0.8), WOOD), (_disc(x, y - 0.35, 0.66), colour)]
    angle = np.mod(np.arctan2(y - 0.35, x) + np.pi / 12, np.pi / 6) - np.pi / 12
    r = np.hypot(x, y - 0.35)
    marks = np.maximum(np.abs(r - 0.54) - 0.07, np.abs(angle) * r - 0.035)
    tip = (0.5 * np.sin(-hand), 0.35 + 0.5 * np.cos(hand))
    hands = np.minimum(_bar(x, y, (0, 0.35), tip, 0.055), _bar(x, y, (0, 0.35), (-0.25, 0.5), 0.07))
    pendulum = [(_bar(x, y, (0, 0), bob, 0.05), WOOD), (_disc(x - bob[0], y - bob[1], 0.2), GOLD)]
    return [*pendulum, *face, (marks, DARK), (hands, DARK)]


def _horn(x: np.ndarray, y: np.ndarray, active: float, turn: float, colour: np.ndarray) -> Parts:
    """Its mouth widens when it is blown; every note has its own valve."""
    down = int(np.floor(turn / (2 * np.pi) + 1e-6)) % 3
    along = np.clip((x + 0.1) / 1.1, 0, 1)
    flare = np.maximum(np.abs(y - 0.1) - (0.1 + (0.42 + 0.2 * active) * along**3), np.abs(x - 0.03) - 0.93)
    coil = np.abs(_bar(x, y, (-0.45, -0.12), (0.3, -0.12), 0.24)) - 0.08
    mouth = _oval(x - 0.95, y - 0.1, 0.12, 0.48 + 0.2 * active)
    piece = np.minimum(_bar(x, y, (-1.1, 0.1), (-0.85, 0.1), 0.05), _oval(x + 1.12, y - 0.1, 0.07, 0.17))
    parts = [(coil, 0.75 * colour), (piece, 0.75 * colour), (flare, colour)]
    for number in range(3):
        top = 0.5 - 0.17 * active * (number == down)
        parts.append((_bar(x, y, (-0.35 + 0.27 * number, -0.3), (-0.35 + 0.27 * number, top), 0.09), 0.6 * colour))
    return [*parts, (mouth, (0.35 - 0.15 * active) * colour)]


def _singer(x: np.ndarray, y: np.ndarray, active: float, turn: float, colour: np.ndarray) -> Parts:
    """A face whose mouth opens with every syllable, in the shape of its vowel."""
    wide, high = ((0.3, 0.42), (0.42, 0.22), (0.5, 0.14), (0.24, 0.32), (0.17, 0.2))[  # a, e, i, o, u
        int(np.floor(turn / (2 * np.pi) + 1e-6)) % 5]  # fmt: skip
    wide, high = 0.3 + (wide - 0.3) * active, 0.03 + high * active
    face = _oval(x, y, 0.82, 1.0)
    hair = np.maximum(_oval(x, y - 0.1, 0.92, 1.0), 0.5 - y + 0.15 * np.cos(4 * x))
    eyes = np.minimum(_oval(x - 0.32, y - 0.18, 0.1, 0.13), _oval(x + 0.32, y - 0.18, 0.1, 0.13))
    brows = np.abs(y - 0.42 - 0.08 * active - 0.3 * (0.32 - np.abs(x)) ** 2)
    brows = np.maximum(brows - 0.035, np.abs(np.abs(x) - 0.32) - 0.16)
    lips, inside = _oval(x, y + 0.42, wide + 0.1, high + 0.1), _oval(x, y + 0.42, wide, high)
    return [(hair, WOOD), (face, colour), (np.maximum(hair, face), WOOD), (eyes, DARK), (brows, DARK), (lips, RED),
            (inside, DARK)]  # fmt: skip


def _woodpecker(x: np.ndarray, y: np.ndarray, active: float, turn: float, colour: np.ndarray) -> Parts:
    """The beak is in the trunk at every peck, and back between them."""
    back, x, y = 0.3 * (1 - active), 1.12 * x, 1.12 * y
    trunk, bark = np.maximum(np.abs(x - 0.84) - 0.18, np.abs(y) - 0.9), np.abs(np.mod(y + 2 * x, 0.4) - 0.2) - 0.05
    across, up = _turned(x + 0.05, y + 0.3, 1.1 - 0.25 * back)
    body, belly = _oval(across, up, 0.68, 0.34), _oval(across + 0.05, up + 0.14, 0.45, 0.13)
    feet = _bar(x, y, (0.1, -0.4), (0.68, -0.5), 0.05)
    tail = _bar(x, y, (-0.35, -0.75), (-0.45, -1.08), 0.12)
    head_x, head_y = x - 0.12 + back, y - 0.52 - 0.25 * back
    neck = _bar(x, y, (0.12 - back, 0.52 + 0.25 * back), (0.1, 0.05), 0.17)
    beak = np.maximum(np.abs(head_y + 0.03) - 0.1 * np.clip((0.62 - head_x) / 0.4, 0, 1), np.abs(head_x - 0.4) - 0.22)
    crest = np.maximum(_oval(head_x + 0.1, head_y - 0.14, 0.32, 0.26), 0.05 - head_y)
    head, eye = _disc(head_x, head_y, 0.27), _disc(head_x - 0.08, head_y - 0.03, 0.07)
    return [(trunk, WOOD), (np.maximum(bark, trunk + 0.05), 0.6 * WOOD), (tail, colour), (feet, GOLD), (body, colour),
            (neck, colour), (belly, PALE), (beak, GOLD), (head, colour), (crest, RED), (eye, PALE)]  # fmt: skip


def _guitar(x: np.ndarray, y: np.ndarray, active: float, turn: float, colour: np.ndarray) -> Parts:
    """A plucked string is seen as the lens that it swings through."""
    across, up = _turned(x, y, -0.6)
    body = np.minimum(_disc(across, up + 0.52, 0.55), _disc(across, up - 0.1, 0.4))
    neck = np.maximum(np.abs(across) - 0.09, np.abs(up - 0.6) - 0.45)
    head = np.maximum(np.abs(across) - 0.16, np.abs(up - 1.08) - 0.13)
    hole, bridge = _disc(across, up + 0.05, 0.17), np.maximum(np.abs(across) - 0.2, np.abs(up + 0.65) - 0.06)
    bulge = np.sin(np.pi * np.clip((up + 0.65) / 1.65, 0, 1))
    string = np.maximum(np.abs(across) - 0.025 - 0.12 * active * bulge, np.abs(up - 0.175) - 0.825)
    return [(neck, 0.5 * WOOD), (head, 0.5 * WOOD), (body, 0.55 * colour), (body + 0.09, colour), (hole, DARK),
            (bridge, DARK), (string, PALE)]  # fmt: skip


_PARTS = {"ball": _ball, "clock": _clock, "horn": _horn, "singer": _singer, "woodpecker": _woodpecker,
          "guitar": _guitar}  # fmt: skip
