"""Unique identifiers: every one we make is derived, so that the same input gives the same UID.

UUID-derived UIDs under 2.25 are defined in PS3.5 B.2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid5

_NAMESPACE = UUID("6f1c4d1e-8a52-5c0b-9f6e-3d2b7a90c4e1")
_UNIT_SEPARATOR = "\x1f"

IMPLEMENTATION_VERSION_NAME = "FRACTURE_SCREEN"
"""Implementation Version Name (0002,0013): at most 16 characters (PS3.7 D.3.3.2.4)."""


def derived_uid(kind: str, *parts: str) -> str:
    """The UID of a thing of this `kind` that is identified by `parts` (their order matters)."""
    name = _UNIT_SEPARATOR.join((kind, *parts))
    return f"2.25.{uuid5(_NAMESPACE, name).int}"


IMPLEMENTATION_CLASS_UID = derived_uid("implementation class", "fracture-screen")
"""Our Implementation Class UID (0002,0012), PS3.7 D.3.3.2."""


_PROBE_TRANSACTIONS = uuid5(_NAMESPACE, "probe transaction").int >> 64
"""The upper half of the UUID of every storage commitment that the doctor requests."""
_RFC_VARIANT = 0b10 << 62


def probe_transaction_uid(number: int) -> str:
    """The Transaction UID of a storage commitment that the doctor requests for its test object.

    `number` (62 bits) makes it unique. The listener, to which the report may come, knows it by
    `is_probe_transaction`.
    """
    return f"2.25.{_PROBE_TRANSACTIONS << 64 | _RFC_VARIANT | number % 2**62}"


def is_probe_transaction(transaction_uid: str) -> bool:
    """Whether the doctor made this Transaction UID."""
    root, _, number = transaction_uid.rpartition(".")
    return root == "2.25" and number.isdecimal() and int(number) >> 64 == _PROBE_TRANSACTIONS


@dataclass(frozen=True, slots=True)
class AnalysisKey:
    """What a result's identity depends on; the same key means the same UIDs.

    `operating_points` are the model's thresholds as text, in a fixed order; `model_digest` is the
    bundle's digest.
    """

    study_instance_uid: str
    model_digest: str
    operating_points: Sequence[str]

    def parts(self) -> tuple[str, ...]:
        """The key as an unambiguous sequence of strings."""
        points = tuple(self.operating_points)
        return (self.study_instance_uid, self.model_digest, str(len(points)), *points)


def result_series_uid(key: AnalysisKey, kind: str, revision: int = 1) -> str:
    """The series that holds the result objects of one `kind` that one analysis of a study adds.

    Each later revision has a series of its own: all objects of a series have one Series Time
    (PS3.3 C.7.3.1) and Instance Numbers that differ.
    """
    later = () if revision == 1 else (f"revision {revision}",)
    return derived_uid("result series", kind, *key.parts(), *later)


def result_instance_uid(
    key: AnalysisKey, kind: str, sources: Sequence[tuple[str, str, int]]
) -> str:
    """The result object of this `kind` made from `sources`.

    `sources` are (SOP Instance UID, SHA-256 of the instance, frame number) of each radiograph used;
    their order doesn't matter.
    """
    flat = [field for uid, digest, frame in sorted(sources) for field in (uid, digest, str(frame))]
    return derived_uid("result instance", kind, *key.parts(), *flat)


def device_uid(model_digest: str) -> str:
    """The Device UID (0018,1002) of a model: another one after each retraining."""
    return derived_uid("device", model_digest)


def picture_uids(sha256: str) -> tuple[str, str, str]:
    """(Study, Series, SOP) Instance UID for a wrapped picture file with this SHA-256.

    Wrapping the same file twice gives the same instance.
    """
    return (
        derived_uid("picture study", sha256),
        derived_uid("picture series", sha256),
        derived_uid("picture instance", sha256),
    )
