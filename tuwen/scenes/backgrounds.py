"""What lies behind the things: thirty kinds of backgrounds, their names, and how each is painted."""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Array = np.ndarray[Any, Any]
Colour = tuple[float, float, float]

SIDE = 384  # pixels per side of a painting before it is brought to the size asked for
VARIANTS = 24  # different paintings of each kind


@dataclass(frozen=True)
class Background:
    """A kind of background.

    zh, en: its name, in English with the article; zh_place, en_place: as a place ("草地上", "on the grass"); family:
    "colour" or "place"; dark: things on it get a pale halo instead of a shadow.
    """

    key: str
    zh: str
    en: str
    zh_place: str
    en_place: str
    family: str
    paint: Callable[[np.random.RandomState], Array]
    dark: bool = False


def _hsl(hue: float, saturation: float, lightness: float) -> Colour:
    """Degrees, percent, percent -> 0..255."""
    red, green, blue = colorsys.hls_to_rgb(hue % 360 / 360, min(max(lightness, 0), 100) / 100, saturation / 100)
    return red * 255, green * 255, blue * 255


def _rows(colours: list[tuple[float, Colour]]) -> Array:
    """A vertical gradient through colours at heights 0 (top) to 1."""
    heights = (np.arange(SIDE, dtype=np.float32) + 0.5) / SIDE
    stops = [height for height, _ in colours]
    bands = [np.interp(heights, stops, [colour[band] for _, colour in colours]) for band in range(3)]
    return np.repeat(np.stack(bands, axis=1).astype(np.float32)[:, None, :], SIDE, axis=1)


def _noise(random: np.random.RandomState, cells: int, tall: int | None = None) -> Array:
    """Smooth noise of about `cells` bumps per side, mean 0 and about -1..1; (SIDE, SIDE)."""
    small = random.uniform(-1, 1, (tall or cells, cells)).astype(np.float32)
    return np.asarray(Image.fromarray(small).resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def _grid() -> tuple[Array, Array]:
    """y (SIDE, 1) and x (1, SIDE) from -0.5 to 0.5."""
    places = np.linspace(-0.5, 0.5, SIDE, dtype=np.float32)
    return places[:, None], places[None, :]


def _light(picture: Array, random: np.random.RandomState, strength: float = 7.0) -> Array:
    """Light that falls from one side, and slightly darker corners."""
    y, x = _grid()
    turn = random.uniform(0, 2 * np.pi)
    glow = (float(np.cos(turn)) * x + float(np.sin(turn)) * y) * strength - (x * x + y * y) * (strength * 2)
    return picture + glow[:, :, None]


def _draw(picture: Array) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
    return image, ImageDraw.Draw(image, "RGBA")


def _whole(colour: Colour) -> tuple[int, int, int]:
    red, green, blue = (int(min(max(part, 0), 255)) for part in colour)
    return red, green, blue


def plain(hue: float, saturation: float, lightness: float, spread: float = 5) -> Callable[..., Array]:
    """One colour, a little different in each variant, lit from one side."""

    def paint(random: np.random.RandomState) -> Array:
        shade = lightness + random.uniform(-spread, spread)
        colour = _hsl(hue + random.uniform(-6, 6), saturation * random.uniform(0.85, 1.05), shade)
        picture = _rows([(0, colour), (1, colour)]) + _noise(random, 5)[:, :, None] * 1.5
        return _light(picture, random, 18)

    return paint


def gradient(random: np.random.RandomState) -> Array:
    """Two soft colours well apart on the colour wheel, flowing into each other."""
    hue = random.uniform(0, 360)
    apart = random.uniform(90, 150) * random.choice([-1, 1])
    first, second = np.array(_hsl(hue, 80, 74)), np.array(_hsl(hue + apart, 75, 68))
    y, x = _grid()
    turn = random.uniform(0, 2 * np.pi)
    mixed = np.clip((np.cos(turn) * x + np.sin(turn) * y) * 1.1 + 0.5 + _noise(random, 4) * 0.06, 0, 1)[:, :, None]
    return first * (1 - mixed) + second * mixed


def sky(random: np.random.RandomState) -> Array:
    """Daylight blue with soft white clouds."""
    hue = random.uniform(202, 216)
    picture = _rows([(0, _hsl(hue, 78, 62)), (1, _hsl(hue - 8, 82, 87))])
    clouds = Image.new("L", (SIDE, SIDE))
    pen = ImageDraw.Draw(clouds)
    for _ in range(random.randint(2, 5)):
        x, y, size = random.uniform(0, SIDE), random.uniform(0.05, 0.9) * SIDE, random.uniform(18, 34)
        for puff in range(5):
            radius = size * random.uniform(0.55, 1.0) * (1 - 0.16 * abs(puff - 2))
            centre = x + (puff - 2) * size * 0.8
            pen.ellipse((centre - radius, y - radius, centre + radius, y + radius * 0.55), fill=215)
    cover = np.asarray(clouds.filter(ImageFilter.GaussianBlur(5)), np.float32)[:, :, None] / 255
    return picture * (1 - cover) + 252 * cover


def evening(random: np.random.RandomState) -> Array:
    """Violet above, orange below, with thin bands of cloud."""
    top, low = random.uniform(255, 285), random.uniform(22, 36)
    picture = _rows([(0, _hsl(top, 42, 50)), (0.55, _hsl(345, 68, 69)), (1, _hsl(low, 92, 70))])
    bands = np.clip(_noise(random, 3, 14), 0, 1)[:, :, None]
    return picture + bands * np.array([26, 10, -6])


def night(random: np.random.RandomState) -> Array:
    """Deep blue with stars."""
    hue = random.uniform(222, 248)
    image, pen = _draw(_rows([(0, _hsl(hue, 55, 13)), (1, _hsl(hue - 8, 48, 29))]))
    for _ in range(random.randint(45, 80)):
        x, y = random.uniform(0, SIDE, 2)
        radius = random.uniform(0.7, 2.3)
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(255, 250, 225, random.randint(120, 255)))
    return np.asarray(image, np.float32)


def _ground(
    random: np.random.RandomState,
    above: list[tuple[float, Colour]],
    below: list[Colour],
    line: float,
    wave: float = 0.025,
) -> Array:
    """A horizon at height `line`: what is above it, and ground under an edge that waves gently."""
    picture = _rows(above)
    ground = _rows([(line, below[0]), (1, below[1])])
    x = np.arange(SIDE) / SIDE
    edge = line + wave * np.sin(2 * np.pi * (x * random.uniform(0.5, 1.2) + random.uniform()))
    heights = (np.arange(SIDE)[:, None] + 0.5) / SIDE
    cover = np.clip((heights - edge) * SIDE / 2 + 0.5, 0, 1)[:, :, None]
    return picture * (1 - cover) + ground * cover


def grass(random: np.random.RandomState) -> Array:
    """A meadow with blades and a few pale dots of flowers, under a strip of sky."""
    line, hue = random.uniform(0.12, 0.30), random.uniform(88, 112)
    picture = _ground(
        random, [(0, _hsl(205, 75, 76)), (1, _hsl(200, 75, 90))], [_hsl(hue, 46, 62), _hsl(hue + 8, 48, 45)], line
    )
    image, pen = _draw(picture)
    for _ in range(420):
        x, y = random.uniform(0, SIDE), random.uniform(line + 0.05, 1.02) * SIDE
        tall, lean = random.uniform(4, 11) * (0.5 + y / SIDE), random.uniform(-3, 3)
        colour = _whole(_hsl(hue + random.uniform(-8, 14), 50, random.uniform(34, 66)))
        pen.line((x, y, x + lean, y - tall), fill=(*colour, 120), width=2)
    for _ in range(random.randint(0, 14)):
        x, y = random.uniform(0, SIDE), random.uniform(line + 0.1, 1) * SIDE
        pen.ellipse((x - 2.5, y - 2.5, x + 2.5, y + 2.5), fill=(255, 246, 214, 220))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(0.7)), np.float32)


def sand(random: np.random.RandomState) -> Array:
    """Warm sand with ripples, and a strip of water and sky above."""
    line, hue = random.uniform(0.18, 0.32), random.uniform(36, 44)
    above = [
        (0, _hsl(203, 78, 80)),
        (line * 0.5, _hsl(200, 78, 90)),
        (line * 0.52, _hsl(192, 60, 62)),
        (1, _hsl(186, 52, 72)),
    ]
    picture = _ground(random, above, [_hsl(hue, 72, 82), _hsl(hue - 4, 58, 70)], line)
    heights = (np.arange(SIDE)[:, None] + 0.5) / SIDE
    ripples = np.sin((heights * 46 + _noise(random, 4) * 2.2) * 2) * np.clip((heights - line - 0.05) * 6, 0, 1)
    grain = random.uniform(-1, 1, (SIDE, SIDE)) * np.clip((heights - line) * 6, 0, 1)
    return picture + (ripples * 3.2 + grain * 4)[:, :, None]


def sea(random: np.random.RandomState) -> Array:
    """Open water with bright crests under a pale sky."""
    line, hue = random.uniform(0.14, 0.30), random.uniform(196, 210)
    image, pen = _draw(
        _ground(
            random,
            [(0, _hsl(206, 70, 84)), (1, _hsl(202, 70, 93))],
            [_hsl(hue, 62, 62), _hsl(hue + 6, 68, 40)],
            line,
            0,
        )
    )
    for _ in range(46):
        depth = random.uniform(0.06, 1)
        x, y = random.uniform(-20, SIDE), (line + (1 - line) * depth) * SIDE
        wide = 12 + 34 * depth
        pen.arc(
            (x, y, x + wide, y + wide * 0.34), 200, 340, fill=(255, 255, 255, int(50 + 60 * random.uniform())), width=2
        )
    return np.asarray(image.filter(ImageFilter.GaussianBlur(0.8)), np.float32)


def snow(random: np.random.RandomState) -> Array:
    """White ground with blue hollows, a grey-blue sky, and falling flakes."""
    line = random.uniform(0.2, 0.36)
    picture = _ground(
        random, [(0, _hsl(214, 34, 70)), (1, _hsl(212, 40, 86))], [_hsl(210, 40, 98), _hsl(212, 46, 91)], line
    )
    picture = picture + _noise(random, 4)[:, :, None] * np.array([3.5, 2.5, 1])
    image, pen = _draw(picture)
    for _ in range(60):
        x, y = random.uniform(0, SIDE, 2)
        radius = random.uniform(1, 3)
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(255, 255, 255, 205))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(0.6)), np.float32)


def wood(random: np.random.RandomState) -> Array:
    """Planks of a table top, seen from above."""
    hue, light = random.uniform(24, 34), random.uniform(58, 70)
    planks = random.randint(4, 6)
    picture = _rows([(0, _hsl(hue, 46, light)), (1, _hsl(hue, 46, light - 4))])
    heights = np.arange(SIDE)[:, None] / SIDE * planks
    tones = random.uniform(-9, 9, planks + 1)[heights.astype(int).clip(0, planks)]
    grain = np.sin(heights * 34 + _noise(random, 3, 9) * 5) * 3 + _noise(random, 4, 90) * 5
    gaps = np.clip(1 - np.abs(heights - np.round(heights)) * SIDE / planks / 1.6, 0, 1) * 34
    return _light(picture + (tones + grain - gaps)[:, :, None] * np.array([1, 0.93, 0.82]), random)


def cloth(random: np.random.RandomState) -> Array:
    """A checked tablecloth."""
    colour = np.array(_hsl(random.choice([2, 28, 140, 214, 330]) + random.uniform(-5, 5), 62, 60))
    checks = random.randint(6, 10)
    stripes = (np.arange(SIDE) * checks * 2 // SIDE) % 2
    cover = (stripes[:, None] * 0.42 + stripes[None, :] * 0.42)[:, :, None]
    return _light(np.array([252, 250, 246]) * (1 - cover) + colour * cover, random)


def stripes(random: np.random.RandomState) -> Array:
    """Wallpaper with upright stripes in two near colours."""
    hue, count = random.uniform(0, 360), random.randint(6, 11)
    wave = np.sin(2 * np.pi * count * np.arange(SIDE) / SIDE)
    cover = np.clip(wave * SIDE / (2 * np.pi * count) + 0.5, 0, 1)[None, :, None]
    first, second = np.array(_hsl(hue, 48, 84)), np.array(_hsl(hue + random.uniform(-15, 15), 50, 74))
    return _light(np.repeat(first * (1 - cover) + second * cover, SIDE, axis=0), random)


def dots(random: np.random.RandomState) -> Array:
    """Pale dots in a regular pattern on a soft colour."""
    image, pen = _draw(_rows([(0, _hsl(random.uniform(0, 360), 55, 76))] * 2))
    step = SIDE / random.randint(6, 9)
    radius, fill = step * random.uniform(0.17, 0.24), (255, 255, 255, 165)
    for row in range(-1, 21):
        for column in range(-1, 11):
            x, y = (column + 0.5 * (row % 2)) * step, row * step / 2
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)
    return _light(np.asarray(image.filter(ImageFilter.GaussianBlur(0.8)), np.float32), random)


def paper(random: np.random.RandomState) -> Array:
    """Squared paper out of an exercise book."""
    count = random.randint(9, 14)
    places = np.arange(SIDE) * count / SIDE + random.uniform()
    lines = np.clip(1.1 - np.abs(places - np.round(places)) * SIDE / count, 0, 1)
    cover = np.maximum(lines[:, None], lines[None, :])[:, :, None] * 0.8
    ink = np.array(_hsl(random.choice([205, 205, 150, 10]), 45, 72))
    return _light(np.array([253, 252, 246]) * (1 - cover) + ink * cover, random)


def board(random: np.random.RandomState) -> Array:
    """A green-black school board with wiped chalk."""
    hue = random.uniform(145, 170)
    dust = np.clip(_noise(random, 5, 9), 0, 1) * 12 + _noise(random, 40, 60) * 2
    return _light(_rows([(0, _hsl(hue, 26, 22)), (1, _hsl(hue, 26, 19))]) + dust[:, :, None], random)


COLOURS = (
    ("red", "红色", "a red background", plain(2, 68, 60)),
    ("orange", "橙色", "an orange background", plain(27, 88, 63)),
    ("yellow", "黄色", "a yellow background", plain(48, 92, 70)),
    ("green", "绿色", "a green background", plain(120, 42, 60)),
    ("teal", "青色", "a teal background", plain(178, 50, 58)),
    ("blue", "蓝色", "a blue background", plain(217, 74, 64)),
    ("purple", "紫色", "a purple background", plain(272, 50, 66)),
    ("pink", "粉色", "a pink background", plain(340, 82, 83)),
    ("brown", "棕色", "a brown background", plain(24, 36, 46)),
    ("grey", "灰色", "a grey background", plain(215, 5, 66)),
    ("white", "白色", "a white background", plain(40, 14, 97, 1.5)),
    ("black", "黑色", "a black background", plain(225, 10, 15, 3)),
)
BACKGROUNDS: tuple[Background, ...] = (
    *(
        Background(key, zh, en, f"{zh}背景上", f"on {en}", "colour", paint, dark=key == "black")
        for key, zh, en, paint in COLOURS
    ),
    Background(
        "gradient", "渐变色", "a gradient background", "渐变背景上", "on a gradient background", "colour", gradient
    ),
    Background("sky", "蓝天", "a blue sky", "蓝天下", "under a blue sky", "place", sky),
    Background("evening", "晚霞", "an evening sky", "晚霞中", "in the evening sky", "place", evening),
    Background("night", "夜空", "a starry sky", "夜空下", "under a starry sky", "place", night, dark=True),
    Background("grass", "草地", "grass", "草地上", "on the grass", "place", grass),
    Background("sand", "沙子", "sand", "沙子上", "on the sand", "place", sand),
    Background("sea", "海面", "the sea", "海面上", "on the sea", "place", sea),
    Background("snow", "雪地", "snow", "雪地上", "on the snow", "place", snow),
    Background("wood", "木桌", "a wooden table", "木桌上", "on a wooden table", "place", wood),
    Background("cloth", "格子桌布", "a checked tablecloth", "格子桌布上", "on a checked tablecloth", "place", cloth),
    Background(
        "stripes", "条纹墙纸", "striped wallpaper", "条纹墙纸前", "in front of striped wallpaper", "place", stripes
    ),
    Background("dots", "圆点图案", "a dotted pattern", "圆点图案上", "on a dotted pattern", "place", dots),
    Background("paper", "方格纸", "squared paper", "方格纸上", "on squared paper", "place", paper),
    Background("board", "黑板", "a chalkboard", "黑板上", "on a chalkboard", "place", board, dark=True),
)


@lru_cache(maxsize=64)
def _painting(background: int, variant: int) -> Image.Image:
    # RandomState: numpy promises that this stream never changes, which it does not for its newer generators.
    picture = BACKGROUNDS[background].paint(np.random.RandomState(background * VARIANTS + variant))
    return Image.fromarray(np.clip(picture + 0.5, 0, 255).astype(np.uint8))


def painted(background: int, variant: int, size: int) -> Array:
    """The background at a size, uint8 (size, size, 3), not to be written to."""
    if size <= 128:
        return _small(background, variant, size)
    return _medium(background, variant, size) if size <= 256 else _sized(background, variant, size)


def _sized(background: int, variant: int, size: int) -> Array:
    picture = _painting(background, variant)
    if size != SIDE:
        picture = picture.resize((size, size), Image.Resampling.BOX if size < SIDE else Image.Resampling.BICUBIC)
    return np.asarray(picture)


# All kinds and variants, 624 pictures, at a size or two that one trains at: of 27 kB at 96 pixels, of 196 kB at 256.
_small = lru_cache(maxsize=2048)(_sized)
_medium = lru_cache(maxsize=640)(_sized)
