"""What pages and commands show of identities and of quarantine: plain values.

The rest, which reads and moves files, is handed in as `Corrector`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from db.audit import Details
from db.corrections import StoredInstance
from dicom_node.patient import PatientFacts


@dataclass(frozen=True, slots=True)
class NamedPatient:
    """One of the patients that a study's instances name."""

    patient: PatientFacts
    instances: tuple[StoredInstance, ...]
    """Those that name it, at least one."""

    @property
    def key(self) -> str:
        """SOP Instance UID of its first instance: names it in forms and commands."""
        return self.instances[0].sop_instance_uid

    @property
    def senders(self) -> tuple[str, ...]:
        """AE titles that the instances came from, each once."""
        return tuple(dict.fromkeys(each.calling_ae_title for each in self.instances))


@dataclass(frozen=True, slots=True)
class StudyIdentities:
    """Who is in a study."""

    patients: tuple[NamedPatient, ...]
    """More than one: the study is held."""
    unread: tuple[StoredInstance, ...]
    """Those whose file was purged or cannot be read."""
    discarded: tuple[StoredInstance, ...]
    """Those that an administrator took out of it."""


class Standing(StrEnum):
    """What a file in quarantine is."""

    DIFFERS = "differs from the stored instance"
    """It may be accepted."""
    STORED = "is the stored instance already"
    """An acceptance was interrupted before the file was removed, or it was sent again."""
    OTHER_STUDY = "belongs to another study than the stored instance"
    UNKNOWN = "no instance of its UID is stored"
    UNREADABLE = "cannot be read"


@dataclass(frozen=True, slots=True)
class QuarantinedFile:
    """A file in quarantine."""

    name: str
    received_at: datetime
    size: int
    """Bytes."""
    standing: Standing
    problem: str = ""
    """Why it cannot be read."""
    study_instance_uid: str = ""
    sop_instance_uid: str = ""
    patient: PatientFacts | None = None
    stored_patient: PatientFacts | None = None
    """Of the stored instance; None: there is none, or its file is gone."""


@dataclass(frozen=True, slots=True)
class Difference:
    """An attribute that differs between the stored instance and the file in quarantine."""

    attribute: str
    stored: str
    new: str


class Corrector(Protocol):
    """Looks at identities and quarantine and changes what an administrator decides.

    `actor` and `details` are for the audit trail. Changes raise CorrectionRefused, whose message
    says what to do.
    """

    def identities(self, study_instance_uid: str) -> StudyIdentities:
        """Who is in a study; empty where it is not known."""

    def resolve(
        self,
        study_instance_uid: str,
        keep: str,
        *,
        same_patient: bool,
        actor: str,
        details: Details,
    ) -> int:
        """Keep one patient of a study and have it screened again.

        Args:
            keep: the patient's ID, or the SOP Instance UID of an instance that names it.
            same_patient: whether the other instances are the same patient's and are named so in
                all results; else they are discarded.

        Returns how many instances were accepted or discarded.
        """

    def quarantined(self) -> list[QuarantinedFile]:
        """The files in quarantine, the oldest first."""

    def differences(self, name: str) -> Sequence[Difference]:
        """Attributes in which a file in quarantine differs from the stored instance."""

    def accept(self, name: str, *, actor: str, details: Details) -> str:
        """Make a file in quarantine the stored instance; return its Study Instance UID."""

    def discard(self, name: str, *, actor: str, details: Details) -> None:
        """Remove a file from quarantine."""
