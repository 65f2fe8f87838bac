"""Indoor things of PASCAL VOC as lists of parts."""

import numpy as np

from segport.demo.parts import RUBBER, STEEL, Part, bar, box, darker, oval, paints, pick

_WOODS = ((150, 100, 55), (100, 62, 35), (195, 155, 100))


def bottle(rng: np.random.Generator) -> list[Part]:
    """Slim glass with a bright highlight, a long neck, a paper label and a cap."""
    glass = pick(rng, (25, 90, 45), (105, 55, 20))
    shine = (235, 245, 240)
    label = pick(rng, (245, 240, 225), (200, 40, 40), (240, 200, 60))
    shoulder = rng.uniform(0.3, 0.4)
    neck = ((0.11, 0.06), (0.19, 0.06), (0.2, shoulder - 0.1), (0.3, shoulder + 0.04))
    return [
        Part((*neck, (0.0, shoulder + 0.04), (0.1, shoulder - 0.1)), "glass", glass, shine),
        Part(box(0.0, shoulder, 0.3, 1.0), "glass", glass, shine),
        Part(box(0.0, shoulder + 0.14, 0.3, shoulder + 0.4), "bands", label, darker(label, 0.7)),
        Part(box(0.1, 0.0, 0.2, 0.07), "plain", pick(rng, (200, 170, 60), (190, 30, 30)), STEEL),
    ]


def chair(rng: np.random.Generator) -> list[Part]:
    """Four thin wooden legs, a seat, a back of slats."""
    wood = pick(rng, *_WOODS)
    dark = darker(wood)
    seat = pick(rng, wood, (70, 130, 90))
    lean = rng.uniform(0.0, 0.1)
    slats = [
        Part(bar((0.12 + x, 0.52), (0.1 + x - lean, 0.04), 0.05), "planks", wood, dark)
        for x in (0.0, 0.12, 0.24, 0.36)
    ]
    return [
        Part(bar((0.15, 0.55), (0.2, 0.92), 0.055), "planks", dark, RUBBER),
        Part(bar((0.62, 0.55), (0.64, 0.92), 0.055), "planks", dark, RUBBER),
        *slats,
        Part(bar((0.04 - lean, 0.06), (0.52 - lean, 0.06), 0.1), "planks", wood, dark),
        Part(bar((0.06 - lean / 2, 0.28), (0.52 - lean / 2, 0.28), 0.07), "planks", wood, dark),
        Part(((0.08, 0.5), (0.6, 0.5), (0.72, 0.62), (0.02, 0.62)), "weave", seat, darker(seat)),
        Part(bar((0.06, 0.6), (0.02, 1.0), 0.065), "planks", wood, dark),
        Part(bar((0.67, 0.6), (0.72, 1.0), 0.065), "planks", wood, dark),
    ]


def diningtable(rng: np.random.Generator) -> list[Part]:
    """A wide top with a chequered cloth hanging over, set with plates, on wooden legs."""
    wood = pick(rng, *_WOODS)
    cloth, light = pick(rng, (200, 40, 40), (40, 80, 190)), (245, 242, 235)
    width = rng.uniform(1.6, 2.1)
    hang = rng.uniform(0.45, 0.6)
    plates = [
        Part(oval(width * x, 0.15, 0.15, 0.05), "plain", (250, 250, 250), STEEL, round=True)
        for x in (0.28, 0.55, 0.78)
    ]
    legs = [
        Part(bar((x, 0.3), (x, 1.0), 0.09), "planks", wood, darker(wood))
        for x in (0.2, width - 0.2, 0.4, width - 0.4)
    ]
    return [
        *legs,
        Part(((0.2, 0.02), (width - 0.2, 0.02), (width, 0.27), (0.0, 0.27)), "checks", light,
             cloth),
        Part(((0.0, 0.27), (width, 0.27), (width - 0.02, hang), (0.02, hang)), "checks",
             darker(light, 0.75), darker(cloth, 0.75)),
        *plates,
    ]  # fmt: skip


def pottedplant(rng: np.random.Generator) -> list[Part]:
    """A terracotta pot and a bush of veined green leaves."""
    pot = pick(rng, (185, 95, 60), (160, 80, 50), (200, 120, 85))
    green = pick(rng, (50, 120, 45), (85, 145, 50), (30, 95, 60))
    leaves = []
    for angle in np.linspace(-2.9, -0.25, 11) + rng.uniform(-0.1, 0.1, 11):
        reach = rng.uniform(0.28, 0.5)
        x, y = 0.5 + reach * np.cos(angle), 0.55 + reach * np.sin(angle)
        leaf = bar((0.5, 0.62), (float(x), float(y)), 0.035)
        leaves.append(Part(leaf, "plain", darker(green), green))
        shape = oval(float(x), float(y), 0.13, 0.1)
        leaves.append(Part(shape, "leaves", green, darker(green, 0.45)))
    return [
        *leaves,
        Part(oval(0.5, 0.5, 0.2, 0.16), "leaves", green, darker(green, 0.45)),
        Part(((0.28, 0.65), (0.72, 0.65), (0.64, 1.0), (0.36, 1.0)), "gradient", pot, darker(pot)),
        Part(box(0.25, 0.6, 0.75, 0.7), "plain", pot, darker(pot), round=True),
    ]


def sofa(rng: np.random.Generator) -> list[Part]:
    """Wide woven upholstery: back, two arms, seat cushions, short feet."""
    cloth = pick(rng, (135, 40, 70), (95, 60, 130))
    dark = darker(cloth, 0.7)
    width = rng.uniform(1.8, 2.4)
    middle = width / 2
    pillow = paints(rng)
    place = rng.uniform(0.35, width - 0.7)
    return [
        *[Part(box(x, 0.92, x + 0.1, 1.0), "planks", (70, 45, 30), RUBBER)
          for x in (0.08, width - 0.18)],
        Part(box(0.1, 0.06, width - 0.1, 0.75), "weave", cloth, dark),
        Part(box(0.12, 0.0, width - 0.12, 0.12), "weave", cloth, dark, round=True),
        Part(box(0.15, 0.55, middle - 0.01, 0.76), "weave", cloth, dark, round=True),
        Part(box(middle + 0.01, 0.55, width - 0.15, 0.76), "weave", cloth, dark, round=True),
        Part(box(0.1, 0.74, width - 0.1, 0.93), "weave", dark, darker(dark)),
        Part(oval(0.12, 0.42, 0.16, 0.1), "weave", cloth, dark, round=True),
        Part(box(0.0, 0.42, 0.24, 0.94), "weave", cloth, dark, round=True),
        Part(oval(width - 0.12, 0.42, 0.16, 0.1), "weave", cloth, dark, round=True),
        Part(box(width - 0.24, 0.42, width, 0.94), "weave", cloth, dark, round=True),
        Part(((place, 0.32), (place + 0.3, 0.26), (place + 0.34, 0.54), (place + 0.03, 0.57)),
             "stripes", pillow, (245, 240, 230)),
    ]  # fmt: skip


def tvmonitor(rng: np.random.Generator) -> list[Part]:
    """A dark frame around a glowing screen, on a foot."""
    case = pick(rng, (25, 25, 28), (190, 185, 175))
    glow = pick(rng, (60, 130, 220), (50, 190, 180), (150, 110, 230))
    width = rng.uniform(1.1, 1.5)
    middle = width / 2
    return [
        Part(box(middle - 0.08, 0.75, middle + 0.08, 0.95), "plain", darker(case), STEEL),
        Part(oval(middle, 0.95, 0.3, 0.05), "plain", case, STEEL),
        Part(box(0.0, 0.0, width, 0.8), "plain", case, darker(case)),
        Part(box(0.07, 0.07, width - 0.07, 0.7), "scanlines", glow, (225, 245, 255)),
        Part(box(0.14, 0.5, width * rng.uniform(0.35, 0.8), 0.6), "plain", (250, 250, 250), glow),
        Part(oval(width - 0.12, 0.75, 0.02, 0.02), "plain", (60, 230, 80), case),
    ]
