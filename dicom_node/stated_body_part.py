"""What a header says of the body part: its words and codes, read by the table beside this file.

A radiograph is left out by its header only where that surely says something else than a limb. An
unknown word leaves nothing out. The table is `body_part_words.toml`; a site adds to it.
"""

import re
import tomllib
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, MutableSequence, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # settings read this module's table: a question to the ledger needs no DICOM
    from pydicom import Dataset

TABLE_FILE = Path(__file__).with_name("body_part_words.toml")
NOT_A_LIMB = "not a limb"
"""What a site says of a word whose radiographs are left out."""
IGNORED = "ignored"
"""What a site says of a word that tells nothing of the body part."""
GENERIC_REGIONS = frozenset({"EXTREMITY", "UPPERLIMB", "LOWERLIMB", "ARM", "LEG"})
"""Regions that hold others, or that people use for them."""
BODY_PART_EXAMINED = "Body Part Examined"

_LONGEST_TEXT = 1024
_LONGEST_UNKNOWN = 64
_MOST_VALUES = 64
_FEWEST_LETTERS = 3
"""Of what is compared with the beginning or end of a word."""
_WORD = re.compile(r"[^\W\d_]+", re.UNICODE)
_CAMEL = re.compile(r"(?<=[a-zß-öø-ÿ])(?=[A-ZÀ-ÖØ-Þ][a-zß-öø-ÿ])")
_IDEOGRAPH = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_LETTERS = str.maketrans({"ß": "ss", "ł": "l", "ø": "o", "đ": "d", "æ": "ae", "œ": "oe"})
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"})


class _Kind(StrEnum):
    """What a word tells."""

    LIMB = "limb"
    ELSEWHERE = "elsewhere"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class _Meaning:
    kind: _Kind
    region: str


@dataclass(frozen=True, slots=True)
class Understood:
    """Words of an attribute that name a region, "chest" for example; `is_limb` says which kind."""

    attribute: str
    words: str
    region: str
    is_limb: bool


@dataclass(frozen=True, slots=True)
class BodyPart:
    """What a header says of the body part.

    Attributes:
        region: the limb that is named first, in the order of `_ATTRIBUTES`; "" if none is.
        elsewhere: regions that are no limbs, in the same order.
        surely_elsewhere: whether the header says that it shows something else, and nothing in it
            contradicts: then alone a radiograph is left out.
        understood: the words and codes, by attribute.
        unknown: values of Body Part Examined that the table does not hold, upper-case.
        contradiction: in words, for the report; "" if there is none. No patient data.
    """

    region: str = ""
    elsewhere: tuple[str, ...] = ()
    surely_elsewhere: bool = False
    understood: tuple[Understood, ...] = ()
    unknown: tuple[str, ...] = ()
    contradiction: str = ""

    @property
    def limbs(self) -> frozenset[str]:
        """All limbs that are named."""
        return frozenset(one.region for one in self.understood if one.is_limb)

    @property
    def said(self) -> str:
        """What says that it is elsewhere, in words: "CHEST (Study Description: chest)"."""
        told: dict[str, list[str]] = {}
        for one in self.understood:
            if not one.is_limb:
                told.setdefault(one.region, []).append(f"{one.attribute}: {one.words}")
        terms = {
            one.region
            for one in self.understood
            if one.attribute == BODY_PART_EXAMINED and one.words.upper() == one.region
        }
        return "; ".join(
            region if region in terms else f"{region} ({', '.join(dict.fromkeys(words))})"
            for region, words in told.items()
        )


NOT_STATED = BodyPart()
"""Of a header that says nothing of it."""

SiteWords = Mapping[str, str]
"""Word → region of a limb, NOT_A_LIMB or IGNORED: a site's own, stronger than the table's."""


def read_body_part(header: "Dataset", site_words: SiteWords | None = None) -> BodyPart:
    """Read Body Part Examined, the anatomic and procedure codes, View Position and descriptions.

    A value that cannot be read counts as not stated. Attributes of the image and its series come
    before those of the study: what a study is called may be true of its other images alone.
    """
    table = _table_with(tuple(sorted((site_words or {}).items())))
    values, others = _values(header, "BodyPartExamined"), list(_stated_texts(header))
    return _conclude(table, values, others, _view(header), list(_stated_codes(header)))


def read_words(
    body_part_examined: str,
    site_words: SiteWords | None = None,
    *,
    series_text: str = "",
    study_text: str = "",
) -> BodyPart:
    r"""Read the same of values alone: several of Body Part Examined are joined by a backslash."""
    table = _table_with(tuple(sorted((site_words or {}).items())))
    texts = [("Series Description", series_text, True), ("Study Description", study_text, False)]
    return _conclude(table, body_part_examined.split("\\"), texts, "", [])


def limb_regions() -> tuple[str, ...]:
    """All regions of limbs that the table names, in its order."""
    return tuple(_document()["limb"])


def is_word(text: str) -> bool:
    """Whether a text has letters: only those are compared."""
    return bool(_tokens(text))


def covered_regions(scope: Iterable[str]) -> frozenset[str]:
    """The regions that a model's Body Part Examined terms stand for, and the terms themselves."""
    return _covered_regions(frozenset(term.upper() for term in scope))


@lru_cache(maxsize=8)
def _covered_regions(terms: frozenset[str]) -> frozenset[str]:
    read = [read_words(term) for term in terms]
    named = {region for one in read for region in (*one.limbs, *one.elsewhere)}
    return frozenset(terms | named)


def is_covered(stated: BodyPart, term: str, scope: Iterable[str]) -> bool:
    """Whether a model's terms hold what a header names: `term` as stated, or one of its regions."""
    covered = covered_regions(scope)
    return term in covered or not covered.isdisjoint((*stated.limbs, *stated.elsewhere))


def stated_value(header: "Dataset") -> str:
    """Body Part Examined as it is stated, upper-case, several values joined by a backslash."""
    return "\\".join(_values(header, "BodyPartExamined")).upper()


_TEXTS: tuple[tuple[str, str, bool], ...] = (
    ("SeriesDescription", "Series Description", True),
    ("ProtocolName", "Protocol Name", True),
    ("PerformedProcedureStepDescription", "Performed Procedure Step Description", False),
    ("RequestedProcedureDescription", "Requested Procedure Description", False),
    ("StudyDescription", "Study Description", False),
)
"""(keyword, name, whether it is of the image or its series)."""
_CODES: tuple[tuple[str, str, bool], ...] = (
    ("AnatomicRegionSequence", "Anatomic Region", True),
    ("PrimaryAnatomicStructureSequence", "Primary Anatomic Structure", True),
    ("PerformedProtocolCodeSequence", "Performed Protocol Code", True),
    ("ProcedureCodeSequence", "Procedure Code", False),
    ("RequestedProcedureCodeSequence", "Requested Procedure Code", False),
)


@dataclass(frozen=True, slots=True)
class _Said:
    """One attribute, read. `unknown`: its words that the table does not hold."""

    attribute: str
    understood: tuple[Understood, ...]
    unknown: tuple[str, ...]
    is_of_image: bool


def _conclude(
    table: "_Table",
    values: Sequence[str],
    texts: Sequence[tuple[str, str, bool]],
    view: str,
    codes: Sequence[tuple[str, str, str, bool]],
) -> BodyPart:
    values = [value for value in values if value.strip()]
    stated = [table.read_term(value) for value in values]
    said = [
        *stated,
        *(table.read_code(*code[:3], is_of_image=True) for code in codes if code[3]),
        *(table.read(*text[:2], is_of_image=True) for text in texts if text[2]),
        table.read_view(view),
        *(table.read_code(*code[:3], is_of_image=False) for code in codes if not code[3]),
        *(table.read(*text[:2], is_of_image=False) for text in texts if not text[2]),
    ]
    understood = tuple(one for each in said for one in each.understood)
    limbs = [one for one in understood if one.is_limb]
    others = tuple(dict.fromkeys(one.region for one in understood if not one.is_limb))
    unknown = tuple(
        dict.fromkeys(
            value.strip().upper()[:_LONGEST_UNKNOWN]
            for value, read in zip(values, stated, strict=True)
            if read.unknown and not read.understood
        )
    )
    return BodyPart(
        region=limbs[0].region if limbs else "",
        elsewhere=others,
        surely_elsewhere=bool(others) and not limbs and not unknown and _is_sure(said),
        understood=understood,
        unknown=unknown,
        contradiction=_contradiction(said),
    )


def _is_sure(said: Sequence[_Said]) -> bool:
    """Whether an attribute of the image says so, or one of the study and no unknown word of it."""
    of_image = [one for one in said if one.is_of_image]
    return any(one.understood for one in of_image) or not any(one.unknown for one in of_image)


def _contradiction(said: Sequence[_Said]) -> str:
    """In words, where one attribute names limbs alone and another one none."""
    limb = next((one for one in said if one.understood and _all(one, is_limb=True)), None)
    other = next((one for one in said if one.understood and _all(one, is_limb=False)), None)
    if limb is None or other is None or limb.attribute == other.attribute:
        return ""
    told = (f"{one.attribute} says {one.understood[0].region}" for one in (limb, other))
    return f"the header contradicts itself: {', '.join(told)}"


def _all(said: _Said, *, is_limb: bool) -> bool:
    return all(one.is_limb is is_limb for one in said.understood)


class _Table:
    """The words, phrases, beginnings, endings, views and codes, ready to be looked up."""

    def __init__(self, document: Mapping[str, Any], site_words: SiteWords) -> None:  # Any: TOML
        self._phrases: dict[tuple[str, ...], _Meaning] = {}
        self._beginnings: dict[str, _Meaning] = {}
        self._endings: dict[str, _Meaning] = {}
        self._ideographs: dict[str, _Meaning] = {}
        self._terms: dict[tuple[str, ...], _Meaning] = {}
        self._views: dict[tuple[str, ...], _Meaning] = {}
        self._codes: dict[str, _Meaning] = {}
        # Of a word in several lines the last counts: limbs are put in last.
        for line in document["ignored"].values():
            self._add(line, _Meaning(_Kind.IGNORED, ""))
        for kind in (_Kind.ELSEWHERE, _Kind.LIMB):
            for region, lines in document[kind].items():
                for line in lines.values():
                    self._add(line, _Meaning(kind, region))
            for section, whole in (("terms", self._terms), ("views", self._views)):
                for region, line in document[section].get(kind, {}).items():
                    whole.update((_tokens(one), _Meaning(kind, region)) for one in line.split(","))
        for code, region in document.get("codes", {}).items():
            kind = _Kind.LIMB if region in document["limb"] else _Kind.ELSEWHERE
            self._codes[code] = _Meaning(kind, region)
        for word, region in site_words.items():
            self._add(word, _site_meaning(region))
        self._longest = max(len(phrase) for phrase in self._phrases)

    def read_term(self, value: str) -> _Said:
        """A value of Body Part Examined: a term that holds only there, or its words."""
        meaning = self._terms.get(_tokens(value[:_LONGEST_TEXT]))
        if meaning is None:
            return self.read(BODY_PART_EXAMINED, value, is_of_image=True)
        is_limb = meaning.kind is _Kind.LIMB
        found = Understood(
            BODY_PART_EXAMINED, value.strip().lower()[:_LONGEST_UNKNOWN], meaning.region, is_limb
        )
        return _Said(BODY_PART_EXAMINED, (found,), (), is_of_image=True)

    def read(self, attribute: str, text: str, *, is_of_image: bool) -> _Said:
        """The words of a text, longest phrases first."""
        tokens, at = _tokens(text[:_LONGEST_TEXT]), 0
        understood: list[Understood] = []
        unknown: list[str] = []
        while at < len(tokens):
            length, meanings = self._at(tokens, at)
            for words, meaning in meanings:
                if meaning.kind is not _Kind.IGNORED:
                    is_limb = meaning.kind is _Kind.LIMB
                    understood.append(Understood(attribute, words, meaning.region, is_limb))
            if not meanings and _is_word(tokens[at]):
                unknown.append(tokens[at])
            at += length
        return _Said(attribute, tuple(dict.fromkeys(understood)), tuple(unknown), is_of_image)

    def read_view(self, view: str) -> _Said:
        """A value of View Position, whole."""
        meaning = self._views.get(_tokens(view[:_LONGEST_TEXT]))
        if meaning is None or meaning.kind is _Kind.IGNORED:
            return _Said("View Position", (), (), True)
        is_limb = meaning.kind is _Kind.LIMB
        found = Understood("View Position", " ".join(_tokens(view)), meaning.region, is_limb)
        return _Said("View Position", (found,), (), True)

    def read_code(self, attribute: str, code: str, text: str, *, is_of_image: bool) -> _Said:
        """A code by its value and by its meaning in words."""
        said = self.read(attribute, text, is_of_image=is_of_image)
        meaning = self._codes.get(code)
        if meaning is None:
            return said
        found = Understood(attribute, code, meaning.region, meaning.kind is _Kind.LIMB)
        return _Said(attribute, (found, *said.understood), (), is_of_image)

    def _at(self, tokens: Sequence[str], at: int) -> tuple[int, list[tuple[str, _Meaning]]]:
        """How many tokens are read here, and what each finding in them says."""
        for length in range(min(self._longest, len(tokens) - at), 0, -1):
            words = tuple(tokens[at : at + length])
            if meaning := self._phrases.get(words):
                return length, [(" ".join(words), meaning)]
        token = tokens[at]
        if _IDEOGRAPH.search(token):
            return 1, [(word, one) for word, one in self._ideographs.items() if word in token]
        meaning = self._part(token) or self._singular(token)
        return 1, [] if meaning is None else [(token, meaning)]

    def _singular(self, token: str) -> _Meaning | None:
        if len(token) > _FEWEST_LETTERS + 1 and token.endswith("s"):
            return self._phrases.get((token[:-1],))
        return None

    def _part(self, token: str) -> _Meaning | None:
        """By the longest beginning of a word, or the longest end."""
        for length in range(len(token), _FEWEST_LETTERS - 1, -1):
            if found := self._beginnings.get(token[:length]):
                return found
        for start in range(len(token) - _FEWEST_LETTERS + 1):
            if found := self._endings.get(token[start:]):
                return found
        return None

    def _add(self, line: str, meaning: _Meaning) -> None:
        for entry in line.split(","):
            for spelled in {entry, entry.casefold().translate(_UMLAUTS)}:
                self._add_entry(spelled.strip(), meaning)

    def _add_entry(self, entry: str, meaning: _Meaning) -> None:
        words = _tokens(entry)
        if not words:
            return
        if _IDEOGRAPH.search(entry):
            self._ideographs["".join(words)] = meaning
        elif entry.endswith("*"):
            self._beginnings["".join(words)] = meaning
            self._phrases[words] = meaning
        elif entry.startswith("*"):
            self._endings["".join(words)] = meaning
            self._phrases[words] = meaning
        else:
            self._phrases[words] = meaning
            joined = "".join(words)
            if len(words) > 1 and len(joined) > _FEWEST_LETTERS + 2:
                self._phrases.setdefault((joined,), meaning)


@lru_cache(maxsize=8)
def _table_with(site_words: tuple[tuple[str, str], ...]) -> _Table:
    return _Table(_document(), dict(site_words))


@lru_cache(maxsize=1)
def _document() -> dict[str, Any]:  # Any: TOML
    return tomllib.loads(TABLE_FILE.read_text(encoding="utf-8"))


def _site_meaning(region: str) -> _Meaning:
    if region == NOT_A_LIMB:
        return _Meaning(_Kind.ELSEWHERE, "OTHER")
    return _Meaning(_Kind.IGNORED, "") if region == IGNORED else _Meaning(_Kind.LIMB, region)


def _tokens(text: str) -> tuple[str, ...]:
    """The words of a text without case, accents, digits and signs."""
    folded = _CAMEL.sub(" ", text).casefold().translate(_LETTERS)
    decomposed = unicodedata.normalize("NFKD", folded)
    bare = "".join(one for one in decomposed if not unicodedata.combining(one))
    return tuple(_WORD.findall(bare))


def _is_word(token: str) -> bool:
    """A single letter is none: sides and views are abbreviated so."""
    return len(token) > 1 or not token.isascii()


def _stated_texts(header: "Dataset") -> Iterator[tuple[str, str, bool]]:
    for keyword, name, is_of_image in _TEXTS:
        yield name, " ".join(_values(header, keyword)), is_of_image
    for request in _items(header, "RequestAttributesSequence"):
        text = " ".join(_values(request, "RequestedProcedureDescription"))
        yield "Requested Procedure Description", text, False


def _stated_codes(header: "Dataset") -> Iterator[tuple[str, str, str, bool]]:
    for keyword, name, is_of_image in _CODES:
        for item in _items(header, keyword):
            yield name, _one(item, "CodeValue"), _one(item, "CodeMeaning"), is_of_image
    for request in _items(header, "RequestAttributesSequence"):
        for item in _items(request, "RequestedProcedureCodeSequence"):
            value, meaning = _one(item, "CodeValue"), _one(item, "CodeMeaning")
            yield "Requested Procedure Code", value, meaning, False


def _view(header: "Dataset") -> str:
    return " ".join(_values(header, "ViewPosition"))


def _one(item: "Dataset", keyword: str) -> str:
    return next(iter(_values(item, keyword)), "")


def _values(header: "Dataset", keyword: str) -> list[str]:
    """All values of a text; none where it is not stated or cannot be read."""
    try:
        value = header.get(keyword)
        values = list(value) if isinstance(value, MutableSequence) else [value]
        return [str(one).strip() for one in values[:_MOST_VALUES] if one not in (None, "")]
    except Exception:  # pydicom converts when a value is used and raises whatever it provokes
        return []


def _items(header: "Dataset", keyword: str) -> list["Dataset"]:
    try:
        return list(header.get(keyword) or [])[:_MOST_VALUES]
    except Exception:  # as above
        return []
