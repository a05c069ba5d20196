"""The targets by name: how each is opened, where its cases start from, how they are edited."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.fuzz import commitment_target, decode_target, object_target, pdu_target
from tests.fuzz.edits import Grammar


class Target(Protocol):
    """Runs cases. `notes` counts what went wrong within its contract."""

    notes: Counter[str]

    def run(self, case: bytes) -> None:
        """Raise Finding, or what should not have been raised, when a contract is broken."""

    def check(self) -> None:
        """Look for what the cases left behind; errors as for `run`."""

    def close(self) -> None:
        """Stop what was started."""


@dataclass(frozen=True)
class Kind:
    """`open` and `seeds` take a folder for scratch; `share` is its part of all cases."""

    open: Callable[[Path], Target]
    seeds: Callable[[Path], list[bytes]]
    grammar: Grammar
    share: float


KINDS = {
    "pdu": Kind(pdu_target.PduTarget, pdu_target.seeds, pdu_target.GRAMMAR, 0.22),
    "object": Kind(object_target.ObjectTarget, object_target.seeds, object_target.GRAMMAR, 0.33),
    "decode": Kind(decode_target.DecodeTarget, decode_target.seeds, decode_target.GRAMMAR, 0.30),
    "commitment": Kind(
        commitment_target.CommitmentTarget,
        commitment_target.seeds,
        commitment_target.GRAMMAR,
        0.15,
    ),
}
