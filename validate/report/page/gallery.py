"""The worst images, as pictures that are part of the page."""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from export.artifact.classes import VOID, palette
from validate.report.page.difference import COLOURS, LOST, MEANINGS, OUTLINE, difference
from validate.result.cells import number
from validate.result.picture_file import Picture, indexed_png

ROOM = 4_400_000
"""Characters of pictures in a page; it is to stay below 5 MB whatever was stored."""
ALIKE = 0.1
"""Percent of a picture's pixels below which a difference is not worth a picture."""


@dataclass(frozen=True)
class Shown:
    """One picture of a card; `source` is a data URI."""

    title: str
    alt: str
    source: str


@dataclass(frozen=True)
class Card:
    """One image: its pictures, and the artifacts that look like the reference."""

    id: str
    width: int
    height: int
    shown: list[Shown]
    alike: list[str]


@dataclass(frozen=True)
class Swatch:
    """A colour of the legend."""

    colour: str
    name: str


def cards(pictures: Sequence[Picture], reference: str) -> list[Card]:
    """Return as many cards as the page has room for, worst first."""
    drawn_cards: list[Card] = []
    room = ROOM
    for drawn in pictures:
        card = _card(drawn, reference)
        room -= sum(len(picture.source) for picture in card.shown)
        if room < 0:
            break
        drawn_cards.append(card)
    return drawn_cards


def class_legend(pictures: Iterable[Picture], classes: Sequence[str]) -> list[Swatch]:
    """Return the colours of the classes that occur in labels or predictions."""
    counts = np.zeros(256, np.int64)
    for picture in pictures:
        for pixels in (
            *picture.predicted.values(),
            *([] if picture.label is None else [picture.label]),
        ):
            counts += np.bincount(pixels.reshape(-1), minlength=256)
    colours = palette(256)
    names = dict(enumerate(classes)) | {VOID: "no label"}
    return [Swatch(_hex(colours[index]), names[index]) for index in names if counts[index]]


def difference_legend() -> list[Swatch]:
    """Return the colours of the difference pictures."""
    outline = Swatch(_hex(COLOURS[OUTLINE]), "outlines of what the reference predicts")
    return [*(Swatch(_hex(COLOURS[kind]), text) for kind, text in MEANINGS.items()), outline]


def _card(one: Picture, reference: str) -> Card:
    expected = one.predicted[reference]
    shown = [Shown("image", f"image {one.id}", _uri("jpeg", one.image_file))]
    if one.label_file is not None:
        shown.append(Shown("label", f"label of {one.id}", _uri("png", one.label_file)))
    shown.append(_prediction(one, reference, reference))
    alike = []
    for key, predicted in one.predicted.items():
        if key == reference:
            continue
        share = f"{number(one.agreement[key], 2)} %"
        differing = difference(expected, predicted, one.label)
        if 100 * (differing >= LOST).mean() < ALIKE:
            alike.append(f"{key} ({share})")
            continue
        png = indexed_png(differing, COLOURS)
        shown += [
            _prediction(one, key, f"{key}: {share} agree"),
            Shown(
                f"{key}: difference",
                f"where {key} differs from {reference} on {one.id}",
                _uri("png", png),
            ),
        ]
    return Card(one.id, *one.size, shown, alike)


def _prediction(one: Picture, key: str, title: str) -> Shown:
    return Shown(title, f"{key}'s prediction for {one.id}", _uri("png", one.predicted_files[key]))


def _uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{b64encode(data).decode()}"


def _hex(colour: tuple[int, int, int]) -> str:
    return "#" + bytes(colour).hex()
