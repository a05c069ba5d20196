"""stand-in: part C. Folding of what is searched, as `db.study_headers` there has it."""

import re
import unicodedata

_IGNORED = frozenset({"Mn", "Me", "Cc", "Cf", "Cs"})
_BETWEEN_WORDS = re.compile(r"[\s,^=]+")


def fold(text: str) -> str:
    """What is compared when a name is searched."""
    letters = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    kept = "".join(c for c in letters if unicodedata.category(c) not in _IGNORED or c in "\t\r\n")
    return _BETWEEN_WORDS.sub(" ", kept).strip()
