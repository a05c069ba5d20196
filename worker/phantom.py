"""A synthetic hand radiograph for the demonstration and the documentation's pictures.

Drawn from tubes and noise: it shows no person, and says nothing about a model's performance.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

# The hand is laid out on a canvas of this size, in pixels, and scaled to the one asked for.
_ROWS, _COLUMNS = 1024, 832

# Base and tip of each metacarpal and finger ray as (x, y), its joints as fractions of the way
# from base to tip, and the radius of the metacarpal's shaft.
_RAYS = (
    ((330, 760), (150, 420), (0.0, 0.44, 0.76, 1.0), 17),
    ((372, 700), (300, 190), (0.0, 0.42, 0.70, 0.87, 1.0), 16),
    ((416, 692), (412, 130), (0.0, 0.40, 0.69, 0.88, 1.0), 16),
    ((458, 698), (520, 178), (0.0, 0.39, 0.68, 0.87, 1.0), 14),
    ((496, 716), (640, 300), (0.0, 0.42, 0.69, 0.86, 1.0), 13),
)
_CARPALS = (
    (350, 783, 35, 31),
    (396, 742, 29, 32),
    (441, 738, 28, 37),
    (490, 750, 31, 33),
    (386, 812, 38, 32),
    (441, 806, 32, 36),
    (492, 808, 27, 29),
)
_FOREARM = (((398, 860), (386, 1120), 37), ((498, 866), (486, 1120), 25))


@dataclass(frozen=True, slots=True)
class _Bone:
    start: tuple[float, float]
    end: tuple[float, float]
    radius: float
    fracture: float | None = None
    """Where the fracture crosses, as a fraction of the length."""


def draw_phantom(
    seed: int, *, fractured: bool, rows: int = _ROWS, columns: int = _COLUMNS
) -> npt.NDArray[np.uint8]:
    """Draw a synthetic hand as uint8 (rows, columns), bone bright.

    With `fractured`, a dark line with a step crosses the shaft of one metacarpal. The same
    arguments give the same picture; `seed` moves the bones, the fracture and the noise. The hand
    keeps its shape only at about the default ratio of rows to columns.
    """
    random = np.random.default_rng(seed)
    bones = _lay_out(random)
    broken = int(random.integers(1, len(_RAYS))) if fractured else -1
    where = float(random.uniform(0.4, 0.62))
    attenuation = _soft_tissue(bones) + _carpals(random)
    trabeculae = _noise(random, 1.6) * 0.6 + _noise(random, 4.0) * 0.4
    ray_starts = np.cumsum([0] + [len(joints) - 1 for _, _, joints, _ in _RAYS]).tolist()
    for number, bone in enumerate(bones):
        cracked = fractured and number == ray_starts[broken]
        shown = replace(bone, fracture=where) if cracked else bone
        attenuation += _bone(shown, trabeculae, random)
    return _expose(attenuation, random, rows, columns)


def _lay_out(random: np.random.Generator) -> list[_Bone]:
    """Give the bones of the rays, metacarpal first, then radius and ulna."""
    bones = []
    for base, tip, joints, radius in _RAYS:
        start = np.array(base, float)
        step = np.array(tip, float) + random.normal(0, 9, 2) - start
        for number, (near, far) in enumerate(pairwise(joints)):
            gap = 0.007
            ends = [start + step * (near + gap), start + step * (far - gap)]
            width = radius * 0.86**number
            bones.append(_Bone(tuple(ends[0]), tuple(ends[1]), width))
    return bones + [_Bone(start, end, radius) for start, end, radius in _FOREARM]


def _grid() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    y, x = np.mgrid[:_ROWS, :_COLUMNS].astype(np.float32)
    return x, y


def _noise(random: np.random.Generator, size: float) -> npt.NDArray[np.float32]:
    """Give noise of unit deviation with structures of about `size` pixels."""
    raw = random.normal(size=(_ROWS, _COLUMNS)).astype(np.float32)
    smooth = np.asarray(cv2.GaussianBlur(raw, (0, 0), size), np.float32)
    return np.asarray(smooth / smooth.std(), np.float32)


def _soft_tissue(bones: list[_Bone]) -> npt.NDArray[np.float32]:
    """Give the thickness of the hand's outline: round at its rim, flat inside."""
    outline = np.zeros((_ROWS, _COLUMNS), np.uint8)
    for bone in bones:
        points = [(round(x), round(y)) for x, y in (bone.start, bone.end)]
        cv2.line(outline, points[0], points[1], 255, round(bone.radius * 2 + 34), cv2.LINE_AA)
    palm = np.array([(300, 800), (330, 560), (420, 490), (500, 510), (570, 540), (545, 830)])
    cv2.fillPoly(outline, [palm.astype(np.int32)], (255,))
    forearm = np.array([(320, 780), (550, 780), (552, 1024), (318, 1024)])
    cv2.fillPoly(outline, [forearm.astype(np.int32)], (255,))
    smooth = cv2.GaussianBlur(outline, (0, 0), 11)
    inside = (smooth > 127).astype(np.uint8)
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 5)
    thickness = np.sqrt(np.clip(depth / 62, 0, 1)) * 0.23
    return np.asarray(cv2.GaussianBlur(thickness, (0, 0), 3), np.float32)


def _carpals(random: np.random.Generator) -> npt.NDArray[np.float32]:
    x, y = _grid()
    texture = _noise(random, 2.2)
    total = np.zeros((_ROWS, _COLUMNS), np.float32)
    for centre_x, centre_y, half_width, half_height in _CARPALS:
        bend = 1 + 0.10 * np.sin(3 * np.arctan2(y - centre_y, x - centre_x) + centre_x)
        radius = np.hypot((x - centre_x) / half_width, (y - centre_y) / half_height) / bend
        body = np.sqrt(np.clip(1 - radius**2, 0, 1)) * (0.17 + 0.018 * texture)
        rim = np.exp(-(((radius - 0.95) / 0.05) ** 2)) * 0.10
        total += np.asarray(body + rim, np.float32)
    return np.asarray(cv2.GaussianBlur(total, (0, 0), 1.2), np.float32)


def _bone(
    bone: _Bone, trabeculae: npt.NDArray[np.float32], random: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Give the attenuation of a hollow tube with flared, rounded, spongy ends."""
    along, across, length = _axes(bone)
    jag = _jagged(across, random)
    gap = np.ones_like(along)
    if bone.fracture is not None:
        offset = along - bone.fracture * length - 0.55 * across - jag
        across = across + np.where(offset > 0, np.float32(bone.radius * 0.28), 0)
        gap = 1 - 0.8 * np.exp(-((offset / 2.6) ** 2))
    from_end = np.minimum(along, length - along)
    flare = 1 + 0.42 * np.exp(-((from_end / (1.5 * bone.radius)) ** 2))
    rounding = np.sqrt(np.clip(1 - (1 - np.clip(from_end / (0.7 * bone.radius), 0, 1)) ** 2, 0, 1))
    outer = bone.radius * flare * rounding
    wall = bone.radius * (0.10 + 0.30 * np.clip(from_end / (0.4 * length), 0, 1))
    full = _chord(outer, across)
    hollow = _chord(np.clip(outer - wall, 0, None), across)
    spongy = 0.45 * np.exp(-from_end / (1.4 * bone.radius)) + 0.16
    filling = hollow * spongy * (1 + 0.16 * trabeculae)
    # Broad bones would whiten out if attenuation grew with their thickness alone.
    scale = 0.33 / (2 * bone.radius) * (bone.radius / 16) ** 0.3
    sharp = np.asarray((full - hollow + filling) * gap * scale, np.float32)
    return np.asarray(cv2.GaussianBlur(sharp, (0, 0), 0.9), np.float32)


def _axes(bone: _Bone) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], float]:
    """Give each pixel's place along and across the bone, in pixels, and the bone's length."""
    x, y = _grid()
    dx, dy = bone.end[0] - bone.start[0], bone.end[1] - bone.start[1]
    length = float(np.hypot(dx, dy))
    right, down = x - bone.start[0], y - bone.start[1]
    along = (right * dx + down * dy) / length
    across = (down * dx - right * dy) / length
    return along.astype(np.float32), across.astype(np.float32), length


def _jagged(
    across: npt.NDArray[np.float32], random: np.random.Generator
) -> npt.NDArray[np.float32]:
    heights = random.normal(0, 2.2, 41)
    return np.interp(across, np.linspace(-60, 60, 41), heights).astype(np.float32)


def _chord(
    radius: npt.NDArray[np.float32], across: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    return np.asarray(2 * np.sqrt(np.clip(radius**2 - across**2, 0, None)), np.float32)


def _expose(
    attenuation: npt.NDArray[np.float32], random: np.random.Generator, rows: int, columns: int
) -> npt.NDArray[np.uint8]:
    x, y = _grid()
    heel = 0.02 + 0.02 * (x / _COLUMNS) + 0.02 * (y / _ROWS)
    signal = heel + attenuation + 0.006 * _noise(random, 0.7) + 0.005 * _noise(random, 25)
    film = 1 - np.exp(-2.5 * np.clip(signal, 0, None))
    resized = cv2.resize(film.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(np.rint(np.clip(resized, 0, 1) * 255), np.uint8)
