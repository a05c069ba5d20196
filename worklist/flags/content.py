"""What a message says of one analysis of a study, whatever its format. Filled by the worker.

Findings and how sure the model is of them; never which study is to be read first.
"""

import base64
import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import date, datetime

from db.outcomes import OUTCOMES, Outcome
from db.states import FlagKind
from dicom_node.uids import derived_uid

NOTICE = "Research use only, not for primary diagnosis"
MOST_IMAGES = 100
"""Radiographs that a message tells of one by one."""


@dataclass(frozen=True, slots=True)
class NameGroup:
    """One way to write a patient's name (PS3.5 6.2.1.2); each component may be ""."""

    family: str
    given: str
    middle: str
    prefix: str
    suffix: str
    representation: str
    """ "A" alphabetic, "I" ideographic, "P" phonetic, as in HL7's table 4000."""


@dataclass(frozen=True, slots=True)
class FlagPatient:
    """Who the study is of, as its first readable instance says; "" where it says nothing."""

    names: tuple[NameGroup, ...]
    patient_id: str
    issuer_of_patient_id: str
    birth_date: date | None
    sex: str
    """Patient's Sex (0010,0040): M, F, O or ""."""


@dataclass(frozen=True, slots=True)
class FlagImage:
    """What is said of one frame of a radiograph."""

    sop_instance_uid: str
    frame_number: int
    """1-based; 0 stands for the whole instance."""
    outcome: Outcome
    """Of this frame alone."""
    probability: float | None
    """Calibrated, in [0, 1]; None: not analysed."""
    reason: str
    """Why it was not analysed; "" if it was."""
    body_part_examined: str


@dataclass(frozen=True, slots=True)
class FlagModel:
    """Who says so."""

    name: str
    version: str
    digest: str


@dataclass(frozen=True, slots=True)
class Flag:
    """One analysis of one study, for one receiver."""

    receiver: str
    """Its name in the settings."""
    study_instance_uid: str
    accession_number: str
    study_date: date | None
    patient: FlagPatient
    outcome: Outcome
    reason: str
    """Why it, or a part of it, was not analysed; "" if all of it was."""
    probability: float | None
    """The highest of its radiographs', in [0, 1]."""
    images: tuple[FlagImage, ...]
    model: FlagModel
    revision: int
    corrected: bool
    """Whether the receiver may have had another message about the study."""
    retrospective: bool
    """Whether a sweep had it analysed."""
    made_at: datetime
    """With a time zone."""
    test: bool = False
    """Whether it only tries the way: of no study."""

    @property
    def word(self) -> str:
        """The outcome for people."""
        return OUTCOMES[self.outcome].word


def flag_uid(kind: FlagKind, flag: Flag) -> str:
    """The message's UID: of all that it says, without the time and without patient data.

    A repeated attempt at the same analysis gives the same UID. Another revision gives another one
    even if it says what an earlier one said: in between, the receiver heard something else.
    """
    content = asdict(flag)
    for without in ("made_at", "patient", "accession_number", "study_date"):
        del content[without]
    return derived_uid("flag", kind, json.dumps(content, sort_keys=True))


def control_id(uid: str) -> str:
    """HL7's Message Control ID (MSH-10: at most 20 characters) of a message: 100 bits of its UID's
    SHA-256."""
    return base64.b32encode(hashlib.sha256(uid.encode()).digest()).decode()[:20]
