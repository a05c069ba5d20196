"""Edits that know the structure of what they break: elements of a data set, PDUs of a stream.

Both drivers use them: hypothesis draws (and shrinks) lists of edits, atheris makes them up at
random.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from random import Random

LARGEST_CASE = 64 * 1024
"""Bytes; what is longer after an edit is cut."""


class Kind(IntEnum):
    """What an edit does to the piece at its place."""

    DELETE = 0
    DUPLICATE = 1
    SWAP = 2
    """With the next one."""
    INSERT = 3
    """A whole one of the grammar's dictionary, before it."""
    VALUE = 4
    """Replace its value by one of the grammar's, and correct its length."""
    SPLICE = 5
    """Insert the payload into its value, and correct its length."""
    OVERWRITE = 6
    """Write the payload over its bytes, lengths and all."""
    CUT = 7
    """End the case within it."""


@dataclass(frozen=True, slots=True)
class Edit:
    """`place` chooses a piece and `number` what to do there; both are taken modulo what there is.

    `payload` is for the kinds that need bytes.
    """

    kind: Kind
    place: int
    number: int
    payload: bytes = b""


@dataclass(frozen=True, slots=True)
class Grammar:
    """`split` gives the pieces, which joined are the case again; `value_at` where the value of a
    piece begins; `refit` corrects a piece's length. `dictionary` holds whole pieces."""

    split: Callable[[bytes], list[bytes]]
    value_at: Callable[[bytes], int]
    refit: Callable[[bytes], bytes]
    dictionary: tuple[bytes, ...]
    values: tuple[bytes, ...]


def apply(case: bytes, edits: Iterable[Edit], grammar: Grammar) -> bytes:
    """The case after the edits, one after the other; they leave its first byte alone."""
    for edit in edits:
        pieces = grammar.split(case[1:])
        if pieces:
            _apply_one(pieces, edit, grammar)
        case = case[:1] + b"".join(pieces)[:LARGEST_CASE]
    return case


def random_edits(random: Random, largest: int = 4) -> list[Edit]:
    """One to `largest` edits made up at random."""
    return [
        Edit(
            Kind(random.randrange(len(Kind))),
            random.randrange(2**16),
            random.randrange(2**32),
            random.randbytes(random.choice((1, 1, 2, 4, 8, 40))),
        )
        for _ in range(random.randint(1, largest))
    ]


def _apply_one(pieces: list[bytes], edit: Edit, grammar: Grammar) -> None:
    index = edit.place % len(pieces)
    piece = pieces[index]
    value_at = min(grammar.value_at(piece), len(piece))
    at = value_at + edit.number % (len(piece) - value_at + 1)
    match edit.kind:
        case Kind.DELETE:
            del pieces[index]
        case Kind.DUPLICATE:
            pieces.insert(index, piece)
        case Kind.SWAP:
            pieces[index : index + 2] = reversed(pieces[index : index + 2])
        case Kind.INSERT:
            pieces.insert(index, grammar.dictionary[edit.number % len(grammar.dictionary)])
        case Kind.VALUE:
            value = grammar.values[edit.number % len(grammar.values)]
            pieces[index] = grammar.refit(piece[:value_at] + value)
        case Kind.SPLICE:
            pieces[index] = grammar.refit(piece[:at] + edit.payload + piece[at:])
        case Kind.OVERWRITE:
            start = edit.number % (len(piece) + 1)
            pieces[index] = piece[:start] + edit.payload + piece[start + len(edit.payload) :]
        case Kind.CUT:
            pieces[index:] = [piece[: edit.number % (len(piece) + 1)]]
