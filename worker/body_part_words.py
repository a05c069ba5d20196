"""How the words for body parts of a ledger or a folder are understood. No patient data."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from dicom_node.errors import UnreadableInstance
from dicom_node.header import read_header
from dicom_node.sop_classes import RADIOGRAPH_SOP_CLASSES
from dicom_node.stated_body_part import (
    BodyPart,
    SiteWords,
    read_body_part,
    read_words,
    stated_value,
)

_LONGEST = 64


class Decision(StrEnum):
    """What becomes of a radiograph by its header."""

    LIMB = "analysed"
    ELSEWHERE = "left out"
    UNKNOWN = "analysed: unknown word"
    NOTHING = "analysed: no body part stated"
    BOTH = "analysed: names a limb and another part"


@dataclass(frozen=True, slots=True)
class UnderstoodWord:
    """A value of Body Part Examined, and how the headers that state it are understood.

    `word` is "" where none is stated; `region` the limb or the parts that are no limb.
    """

    word: str
    radiographs: int
    region: str
    decision: Decision
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Understanding:
    """All words of a ledger or a folder, most frequent first; `skipped` files are no CR or DX."""

    words: tuple[UnderstoodWord, ...]
    skipped: int = 0

    @property
    def unknown(self) -> tuple[str, ...]:
        """The words that nobody knows, most frequent first."""
        return tuple(dict.fromkeys(word for each in self.words for word in each.unknown))


def understand_counted(counted: Mapping[str, int], site_words: SiteWords) -> Understanding:
    """Understand what a ledger holds: value of Body Part Examined → radiographs."""
    return Understanding(
        tuple(
            _understood(word, number, read_words(word, site_words))
            for word, number in counted.items()
        )
    )


def understand_files(paths: Iterable[Path], site_words: SiteWords) -> Understanding:
    """Understand the headers of files, by all that they say."""
    counted: Counter[UnderstoodWord] = Counter()
    skipped = 0
    for path in paths:
        try:
            header = read_header(path)
        except UnreadableInstance:
            skipped += 1
            continue
        if str(header.get("SOPClassUID") or "") not in RADIOGRAPH_SOP_CLASSES:
            skipped += 1
            continue
        body_part = read_body_part(header, site_words)
        counted[_understood(stated_value(header), 0, body_part)] += 1
    return Understanding(
        tuple(
            UnderstoodWord(row.word, number, row.region, row.decision, row.unknown)
            for row, number in counted.most_common()
        ),
        skipped,
    )


def _understood(word: str, radiographs: int, body_part: BodyPart) -> UnderstoodWord:
    region = body_part.region or ", ".join(body_part.elsewhere)
    shown = "".join(one for one in word if one.isprintable())[:_LONGEST]
    return UnderstoodWord(shown, radiographs, region, _decision(body_part), body_part.unknown)


def _decision(body_part: BodyPart) -> Decision:
    if body_part.surely_elsewhere:
        return Decision.ELSEWHERE
    if body_part.unknown:
        return Decision.UNKNOWN
    if body_part.region and body_part.elsewhere:
        return Decision.BOTH
    return Decision.LIMB if body_part.region else Decision.NOTHING
