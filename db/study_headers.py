"""What the worklist shows and finds a study by: recorded at reception and with each conclusion."""

import re
import unicodedata
from dataclasses import asdict

from sqlalchemy.orm import Session

from db import tables
from db.records import StudyHeader

_IGNORED = frozenset({"Mn", "Me", "Cc", "Cf", "Cs"})
"""Marks on letters, joiners and direction marks: people leave them out when they search."""
_BETWEEN_WORDS = re.compile(r"[\s,^=]+")


def record_header(session: Session, study_id: int, header: StudyHeader) -> None:
    """Put it in the place of what was recorded before. The caller holds the study's row."""
    row = session.get(tables.StudyHeader, study_id)
    if row is None:
        session.add(tables.StudyHeader(study_id=study_id, **asdict(header)))
        return
    for name, value in asdict(header).items():
        setattr(row, name, value)


def fold(text: str) -> str:
    """What is compared when a name is searched: fold the name and what is searched for alike.

    Case folded, compatibility decomposed (NFKD: full width is plain, Hangul are its letters),
    without marks; words are separated by one space each, whatever stood between them.
    """
    letters = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    kept = "".join(c for c in letters if unicodedata.category(c) not in _IGNORED or c in "\t\r\n")
    return _BETWEEN_WORDS.sub(" ", kept).strip()
