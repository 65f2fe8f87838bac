"""Animals and people of PASCAL VOC as lists of parts."""

import numpy as np

from segport.demo.parts import EYE, Colour, Part, bar, box, darker, oval, paints, pick


def _legs(
    rng: np.random.Generator, places: tuple[float, ...], top: float, width: float, colour: Colour
) -> list[Part]:
    parts = []
    for x in places:
        foot = x + rng.uniform(-0.1, 0.1)
        parts.append(Part(bar((x, top), (foot, 1.0), width), "plain", colour, darker(colour)))
    return parts


def bird(rng: np.random.Generator) -> list[Part]:
    """A teardrop body with feathered wing and fan tail, a beak, thin legs."""
    body = pick(rng, (190, 60, 50), (60, 110, 180), (225, 200, 70))
    beak = pick(rng, (240, 160, 30), (90, 80, 60))
    lift = rng.uniform(-0.25, 0.15)
    return [
        Part(bar((0.62, 0.75), (0.6, 1.0), 0.035), "plain", beak, EYE),
        Part(bar((0.75, 0.75), (0.76, 1.0), 0.035), "plain", beak, EYE),
        Part(((1.0, 0.5), (1.5, 0.42), (1.55, 0.62), (1.0, 0.66)), "feathers", darker(body), body),
        Part(oval(0.72, 0.55, 0.42, 0.26), "plain", body, darker(body), round=True),
        Part(oval(0.62, 0.66, 0.28, 0.13), "plain", (235, 225, 205), body, round=True),
        Part(oval(0.35, 0.27, 0.2, 0.19), "plain", body, darker(body), round=True),
        Part(((0.17, 0.2), (0.17, 0.34), (-0.05, 0.3)), "plain", beak, darker(beak)),
        Part(oval(0.3, 0.23, 0.035, 0.035), "plain", EYE, EYE),
        Part(((0.55, 0.45), (0.95, 0.4), (1.2, 0.6 + lift), (0.8, 0.65)), "feathers",
             darker(body, 0.5), (230, 225, 215)),
    ]  # fmt: skip


def cat(rng: np.random.Generator) -> list[Part]:
    """A sitting tabby: pear body, round head, pointed ears, curled tail."""
    coat = pick(rng, (205, 130, 60), (130, 125, 120))
    dark = darker(coat, 0.45)
    side = rng.uniform(0.1, 0.25)
    return [
        Part(bar((0.6, 0.92), (0.95, 0.75), 0.1), "tabby", coat, dark, round=True),
        Part(bar((0.93, 0.8), (0.95, 0.45), 0.09), "tabby", coat, dark, round=True),
        Part(oval(0.42, 0.72, 0.3, 0.3), "tabby", coat, dark, round=True),
        Part(((0.2, 0.3), (0.16, 0.0), (0.38, 0.16)), "plain", coat, dark),
        Part(((0.46, 0.16), (0.66, 0.0), (0.63, 0.3)), "plain", coat, dark),
        Part(oval(0.41, 0.31, 0.25, 0.21), "tabby", coat, dark, round=True),
        Part(oval(0.41, 0.41, 0.1, 0.07), "plain", (240, 232, 220), coat, round=True),
        Part(oval(0.31, 0.28, 0.04, 0.045), "plain", (150, 200, 60), EYE),
        Part(oval(0.51, 0.28, 0.04, 0.045), "plain", (150, 200, 60), EYE),
        Part(oval(0.3, 0.98, 0.1, 0.05), "plain", (240, 232, 220), coat),
        Part(oval(0.3 + side, 0.98, 0.1, 0.05), "plain", (240, 232, 220), coat),
    ]


def cow(rng: np.random.Generator) -> list[Part]:
    """A heavy block with black or brown patches on white, horns, a pink muzzle."""
    patch = pick(rng, (30, 28, 28), (120, 65, 35))
    white = (235, 230, 222)
    drop = rng.uniform(-0.08, 0.2)
    return [
        *_legs(rng, (0.55, 0.7, 1.3, 1.45), 0.6, 0.1, darker(white, 0.85)),
        Part(bar((1.55, 0.25), (1.62, 0.75), 0.05), "plain", patch, white),
        Part(((0.4, 0.2), (1.5, 0.16), (1.62, 0.3), (1.55, 0.7), (0.5, 0.72)), "patches", white,
             patch),
        Part(oval(1.2, 0.72, 0.1, 0.07), "plain", (230, 170, 160), white, round=True),
        Part(bar((0.16, 0.05 + drop), (0.3, 0.14 + drop), 0.05), "plain", (210, 200, 170), patch),
        Part(bar((0.5, 0.0 + drop), (0.38, 0.12 + drop), 0.05), "plain", (210, 200, 170), patch),
        Part(((0.2, 0.12 + drop), (0.55, 0.1 + drop), (0.55, 0.45 + drop), (0.3, 0.5 + drop)),
             "patches", patch, white),
        Part(oval(0.27, 0.46 + drop, 0.15, 0.1), "plain", (225, 165, 155), patch, round=True),
        Part(oval(0.34, 0.24 + drop, 0.03, 0.03), "plain", EYE, EYE),
    ]  # fmt: skip


def dog(rng: np.random.Generator) -> list[Part]:
    """A standing dog: long snout, hanging ears, raised tail, shaggy coat, a red collar."""
    coat = pick(rng, (190, 150, 95), (110, 70, 40), (225, 205, 165))
    ear = darker(coat, 0.5)
    collar = pick(rng, (210, 30, 30), (30, 60, 200))
    wag = rng.uniform(0.0, 0.25)
    return [
        Part(bar((1.3, 0.5), (1.55, 0.1 + wag), 0.1), "fur", coat, ear, round=True),
        *_legs(rng, (0.62, 0.74, 1.15, 1.28), 0.65, 0.12, coat),
        Part(oval(0.95, 0.58, 0.45, 0.2), "fur", coat, ear, round=True),
        Part(((0.45, 0.2), (0.7, 0.3), (0.8, 0.7), (0.55, 0.65)), "fur", coat, ear),
        Part(bar((0.4, 0.48), (0.7, 0.38), 0.08), "plain", collar, darker(collar)),
        Part(oval(0.42, 0.24, 0.22, 0.19), "fur", coat, ear, round=True),
        Part(oval(0.17, 0.32, 0.18, 0.09), "plain", (235, 222, 200), coat, round=True),
        Part(oval(0.02, 0.28, 0.05, 0.045), "plain", EYE, EYE),
        Part(oval(0.52, 0.3, 0.1, 0.2), "plain", ear, coat, round=True),
        Part(oval(0.34, 0.2, 0.035, 0.035), "plain", EYE, EYE),
    ]


def horse(rng: np.random.Generator) -> list[Part]:
    """Smooth chestnut body on long legs, arched neck, dark mane and tail."""
    coat = pick(rng, (125, 65, 35), (85, 50, 35), (165, 95, 50))
    mane = pick(rng, (30, 22, 20), (225, 205, 160))
    nod = rng.uniform(-0.05, 0.15)
    return [
        Part(((1.45, 0.38), (1.6, 0.4), (1.66, 0.85), (1.52, 0.85)), "fur", mane, darker(mane)),
        *_legs(rng, (0.58, 0.7, 1.25, 1.38), 0.52, 0.085, darker(coat, 0.85)),
        Part(oval(0.98, 0.47, 0.5, 0.17), "gradient", coat, darker(coat), round=True),
        Part(((0.3, 0.12 + nod), (0.5, 0.06 + nod), (0.85, 0.38), (0.6, 0.6)), "gradient", coat,
             darker(coat)),
        Part(((0.45, 0.0 + nod), (0.55, 0.04 + nod), (0.95, 0.36), (0.8, 0.4)), "fur", mane,
             darker(mane)),
        Part(((0.3, 0.06 + nod), (0.5, 0.08 + nod), (0.42, 0.24 + nod), (0.1, 0.42 + nod),
              (0.02, 0.34 + nod)), "plain", coat, darker(coat)),
        Part(((0.4, 0.08 + nod), (0.42, -0.06 + nod), (0.49, 0.08 + nod)), "plain", coat, mane),
        Part(oval(0.3, 0.16 + nod, 0.028, 0.028), "plain", EYE, EYE),
        Part(bar((0.3, 0.12 + nod), (0.12, 0.34 + nod), 0.035), "plain", (235, 230, 220), coat),
    ]  # fmt: skip


def person(rng: np.random.Generator) -> list[Part]:
    """Head with hair, patterned shirt, arms, trousers, shoes."""
    skin = pick(rng, (235, 190, 160), (190, 135, 100), (110, 70, 50))
    hair = pick(rng, (40, 28, 20), (120, 80, 40), (200, 170, 100), spread=10)
    shirt, trousers = paints(rng), pick(rng, (45, 60, 100), (60, 55, 50), (130, 115, 90))
    pattern = ("plain", "stripes", "checks", "bands", "dots")[int(rng.integers(5))]
    light = pick(rng, (240, 240, 235), (250, 230, 150))
    swing, stride = rng.uniform(-0.15, 0.2), rng.uniform(0.02, 0.12)
    shoe = (40, 35, 35)
    return [
        Part(bar((0.2, 0.5), (0.2 - stride, 0.96), 0.12), "plain", trousers, darker(trousers)),
        Part(bar((0.32, 0.5), (0.32 + stride, 0.96), 0.12), "plain", trousers, darker(trousers)),
        Part(oval(0.18 - stride, 0.97, 0.09, 0.035), "plain", shoe, shoe),
        Part(oval(0.32 + stride, 0.97, 0.09, 0.035), "plain", shoe, shoe),
        Part(bar((0.12, 0.24), (0.02 - swing, 0.5), 0.075), "plain", skin, darker(skin)),
        Part(bar((0.4, 0.24), (0.5 + swing, 0.5), 0.075), "plain", skin, darker(skin)),
        Part(((0.1, 0.19), (0.42, 0.19), (0.4, 0.54), (0.13, 0.54)), pattern, shirt, light),
        Part(bar((0.12, 0.22), (0.07 - swing / 2, 0.36), 0.1), pattern, shirt, light),
        Part(bar((0.4, 0.22), (0.45 + swing / 2, 0.36), 0.1), pattern, shirt, light),
        Part(box(0.22, 0.14, 0.3, 0.21), "plain", darker(skin, 0.85), skin),
        Part(oval(0.26, 0.075, 0.085, 0.09), "plain", hair, darker(hair)),
        Part(oval(0.26, 0.095, 0.068, 0.078), "plain", skin, darker(skin), round=True),
    ]


def sheep(rng: np.random.Generator) -> list[Part]:
    """A cloud of curly wool on short thin legs, with a small dark face."""
    wool = pick(rng, (238, 232, 218), (215, 205, 185))
    face = pick(rng, (45, 40, 40), (95, 80, 70))
    shade = darker(wool, 0.7)
    curls = [
        Part(oval(0.7 + 0.42 * np.cos(a), 0.42 + 0.24 * np.sin(a), 0.2, 0.17), "wool", wool, shade)
        for a in np.linspace(0, 2 * np.pi, 9)[:-1] + rng.uniform(0, 0.7)
    ]
    return [
        *_legs(rng, (0.48, 0.6, 0.9, 1.0), 0.6, 0.07, face),
        *curls,
        Part(oval(0.7, 0.42, 0.45, 0.26), "wool", wool, shade),
        Part(oval(0.12, 0.38, 0.12, 0.16), "plain", face, darker(face), round=True),
        Part(oval(0.25, 0.28, 0.1, 0.045), "plain", face, darker(face)),
        Part(oval(0.18, 0.24, 0.12, 0.09), "wool", wool, shade),
        Part(oval(0.09, 0.35, 0.022, 0.022), "plain", (240, 235, 220), EYE),
    ]
