"""Vehicles of PASCAL VOC as lists of parts."""

import numpy as np

from segport.demo.parts import RUBBER, STEEL, WINDOW, Part, bar, box, darker, oval, paints, pick


def _wheel(x: float, y: float, radius: float) -> list[Part]:
    return [
        Part(oval(x, y, radius, radius), "plain", RUBBER, STEEL, round=True),
        Part(oval(x, y, radius * 0.5, radius * 0.5), "plain", STEEL, RUBBER, round=True),
    ]


def aeroplane(rng: np.random.Generator) -> list[Part]:
    """White or silver tube with portholes, swept wings and a coloured tail fin."""
    skin = pick(rng, (225, 228, 232), (190, 196, 204), (240, 236, 225))
    tail = paints(rng)
    sweep = rng.uniform(0.3, 0.5)
    tube = ((0.0, 0.5), (0.15, 0.4), (0.4, 0.37), (1.7, 0.37), (2.3, 0.42), (2.3, 0.48))
    return [
        Part(((0.9, 0.45), (1.2, 0.45), (1.35 + sweep, 0.02), (1.15 + sweep, 0.02)), "plain",
             darker(skin, 0.7), STEEL),
        Part(((1.95, 0.4), (2.25, 0.42), (2.45, 0.05), (2.25, 0.05)), "bands", tail, skin),
        Part((*tube, (1.7, 0.62), (0.4, 0.62), (0.15, 0.6)), "plain", skin, STEEL, round=True),
        Part(box(0.35, 0.45, 1.8, 0.5), "portholes", skin, (50, 60, 80)),
        Part(((0.06, 0.48), (0.15, 0.42), (0.26, 0.42), (0.26, 0.48)), "plain", WINDOW, RUBBER),
        Part(((0.8, 0.55), (1.15, 0.55), (1.35 + sweep, 1.0), (1.15 + sweep, 1.0)), "gradient",
             darker(skin, 0.85), STEEL),
        Part(oval(0.95, 0.7, 0.14, 0.06), "gradient", tail, STEEL, round=True),
    ]  # fmt: skip


def bicycle(rng: np.random.Generator) -> list[Part]:
    """Two spoked wheels and a thin coloured diamond frame."""
    frame = paints(rng)
    gap = rng.uniform(0.95, 1.1)
    rim = pick(rng, (60, 60, 60), (95, 90, 85))
    rear, front, pedal = (0.32, 0.68), (0.32 + gap, 0.68), (0.32 + gap * 0.45, 0.7)
    seat, head = (0.32 + gap * 0.32, 0.25), (0.32 + gap * 0.82, 0.25)
    ends = [(rear, pedal), (rear, seat), (pedal, seat), (seat, head), (pedal, head), (head, front)]
    return [
        Part(oval(*rear, 0.32, 0.32), "spokes", (205, 205, 200), rim),
        Part(oval(*front, 0.32, 0.32), "spokes", (205, 205, 200), rim),
        *[Part(bar(a, b, 0.065), "plain", frame, darker(frame)) for a, b in ends],
        Part(oval(*pedal, 0.08, 0.08), "spokes", STEEL, RUBBER),
        Part(box(seat[0] - 0.13, 0.19, seat[0] + 0.1, 0.26), "plain", RUBBER, STEEL),
        Part(bar((head[0] - 0.06, 0.12), (head[0] + 0.02, 0.27), 0.05), "plain", STEEL, RUBBER),
        Part(bar((head[0] - 0.12, 0.13), (head[0] + 0.12, 0.1), 0.06), "plain", RUBBER, STEEL),
    ]


def boat(rng: np.random.Generator) -> list[Part]:
    """A dark hull with a bright waterline, a mast and triangular sails."""
    hull = pick(rng, (120, 60, 35), (35, 50, 90), (150, 35, 35), (60, 75, 65))
    sail = pick(rng, (240, 238, 228), (235, 215, 180), (225, 235, 240))
    mast = rng.uniform(0.55, 0.7)
    top = rng.uniform(0.0, 0.06)
    return [
        Part(bar((mast, top), (mast, 0.75), 0.035), "plain", (110, 80, 50), RUBBER),
        Part(((mast + 0.03, top + 0.04), (mast + 0.5, 0.66), (mast + 0.03, 0.66)), "gradient",
             sail, darker(sail, 0.75)),
        Part(((mast - 0.04, top + 0.1), (mast - 0.42, 0.66), (mast - 0.04, 0.66)), "gradient",
             darker(sail, 0.95), darker(sail, 0.65)),
        Part(((0.0, 0.72), (1.35, 0.7), (1.18, 1.0), (0.2, 1.0)), "planks", hull, darker(hull)),
        Part(((0.0, 0.72), (1.35, 0.7), (1.33, 0.765), (0.03, 0.78)), "plain", sail, hull),
    ]  # fmt: skip


def bus(rng: np.random.Generator) -> list[Part]:
    """A tall long box, a row of big windows, a stripe, two wheels."""
    body = pick(rng, (225, 180, 40), (205, 45, 40))
    length = rng.uniform(1.7, 2.3)
    stripe = pick(rng, (240, 240, 235), (250, 220, 90), (60, 60, 70))
    doors = length * rng.uniform(0.72, 0.82)
    return [
        Part(box(0.0, 0.05, length, 0.88), "plain", body, darker(body), round=False),
        Part(box(0.05, 0.0, length - 0.05, 0.07), "plain", darker(body, 0.8), body),
        Part(box(0.06, 0.17, length - 0.06, 0.46), "panes", WINDOW, (225, 228, 230)),
        Part(box(0.0, 0.58, length, 0.66), "plain", stripe, body),
        Part(box(doors, 0.17, doors + 0.2, 0.86), "panes", darker(WINDOW), stripe),
        *_wheel(0.4, 0.87, 0.13),
        *_wheel(length - 0.4, 0.87, 0.13),
        Part(oval(length - 0.06, 0.76, 0.04, 0.04), "plain", (255, 245, 200), stripe),
    ]


def car(rng: np.random.Generator) -> list[Part]:
    """A low lacquered body, a cabin with two windows, two wheels."""
    body = pick(rng, (50, 90, 190), (205, 208, 212), (40, 140, 150))
    cabin = rng.uniform(0.55, 0.75)
    roof = rng.uniform(0.7, 0.95)
    upper = ((cabin - 0.25, 0.5), (cabin, 0.08), (cabin + roof, 0.08), (cabin + roof + 0.3, 0.5))
    lower = ((0.0, 0.55), (0.35, 0.45), (2.05, 0.45), (2.2, 0.58), (2.2, 0.85), (0.0, 0.85))
    middle = cabin + roof / 2
    return [
        Part(upper, "plain", body, darker(body), round=True),
        Part(((cabin - 0.14, 0.45), (cabin + 0.04, 0.16), (middle - 0.04, 0.16),
              (middle - 0.04, 0.45)), "gradient", darker(WINDOW, 0.7), (190, 210, 220)),
        Part(((middle + 0.04, 0.45), (middle + 0.04, 0.16), (cabin + roof - 0.04, 0.16),
              (cabin + roof + 0.18, 0.45)), "gradient", darker(WINDOW, 0.7), (190, 210, 220)),
        Part(lower, "gradient", body, darker(body, 0.55)),
        Part(box(middle - 0.01, 0.46, middle + 0.01, 0.8), "plain", darker(body, 0.4), body),
        Part(oval(0.07, 0.62, 0.07, 0.05), "plain", (255, 240, 190), body, round=True),
        Part(box(2.12, 0.58, 2.2, 0.68), "plain", (200, 20, 20), body),
        *_wheel(0.48, 0.82, 0.18),
        *_wheel(1.75, 0.82, 0.18),
    ]  # fmt: skip


def motorbike(rng: np.random.Generator) -> list[Part]:
    """Two fat tyres, a bright tank, an engine block with cooling fins, an exhaust."""
    tank = paints(rng)
    gap = rng.uniform(0.95, 1.1)
    return [
        *_wheel(0.27, 0.73, 0.27),
        *_wheel(0.27 + gap, 0.73, 0.27),
        Part(bar((0.27 + gap, 0.73), (0.1 + gap, 0.15), 0.07), "plain", STEEL, RUBBER),
        Part(box(0.5, 0.5, 0.98, 0.82), "bands", (70, 70, 75), (190, 190, 195)),
        Part(oval(0.85, 0.38, 0.27, 0.15), "gradient", tank, darker(tank, 0.5), round=True),
        Part(((0.1, 0.3), (0.6, 0.36), (0.62, 0.5), (0.22, 0.46)), "plain", RUBBER, STEEL),
        Part(bar((0.05, 0.82), (0.7, 0.8), 0.09), "plain", (200, 200, 205), STEEL, round=True),
        Part(bar((gap - 0.1, 0.12), (gap + 0.2, 0.08), 0.06), "plain", RUBBER, STEEL),
        Part(oval(gap + 0.2, 0.24, 0.09, 0.09), "plain", (250, 240, 200), STEEL, round=True),
    ]


def train(rng: np.random.Generator) -> list[Part]:
    """A very long two-coloured coach with a slanted nose, small windows and many wheels."""
    body, band = pick(rng, (50, 125, 70), (220, 110, 30)), pick(rng, (240, 235, 215))
    length = rng.uniform(2.4, 3.2)
    nose = ((0.0, 0.7), (0.12, 0.35), (0.35, 0.08), (0.5, 0.08), (0.5, 0.88), (0.0, 0.88))
    wheels = [0.35 + step * (length - 0.7) / 5 for step in range(6)]
    return [
        *[Part(oval(x, 0.91, 0.09, 0.09), "plain", (55, 45, 40), RUBBER) for x in wheels],
        Part(box(0.4, 0.08, length, 0.86), "plain", band, body),
        Part(nose, "plain", body, band, round=True),
        Part(box(0.4, 0.55, length, 0.86), "plain", body, darker(body)),
        Part(((0.17, 0.38), (0.34, 0.16), (0.46, 0.16), (0.46, 0.38)), "plain", WINDOW, RUBBER),
        Part(box(0.6, 0.2, length - 0.05, 0.42), "portholes", (45, 55, 70), band),
        Part(box(0.1, 0.85, length, 0.9), "plain", (60, 60, 62), RUBBER),
        Part(oval(0.1, 0.7, 0.05, 0.05), "plain", (255, 245, 200), band),
    ]
