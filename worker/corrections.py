"""Who is in a study, and what lies in quarantine: for the commands and the worklist's pages.

A file that is accepted has two names until the ledger knows it, so that a kill between two steps
loses neither the stored file nor the new one.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from pydicom import DataElement, Dataset
from sqlalchemy import Engine

from db.audit import Details, Trail
from db.corrections import REFUSED, Corrections, StoredInstance
from db.errors import CorrectionRefused
from db.ledger import Ledger
from db.records import NewInstance
from dicom_node.errors import DicomNodeError
from dicom_node.header import read_header
from dicom_node.instance import ReceivedInstance
from dicom_node.patient import PatientFacts, patient_facts, printable
from dicom_node.received import describe_file
from dicom_node.same_content import same_pixels
from dicom_node.spool import Spool
from worker.patient_identity import identities
from worker.results import Source, header_or_nothing
from worklist.corrections import (
    Difference,
    NamedPatient,
    QuarantinedFile,
    Standing,
    StudyIdentities,
)

_LONGEST_SHOWN = 120
_BINARY_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})


class PatientCorrections:
    """Implements `worklist.corrections.Corrector` over a ledger and its data folder."""

    def __init__(
        self,
        engine: Engine,
        clock: Callable[[], datetime],
        data_folder: Path,
        open_spool: Callable[[], Spool],
    ) -> None:
        """Connect to nothing yet; `open_spool` is called once quarantine is asked for."""
        self._corrections = Corrections(engine, clock)
        self._ledger = Ledger(engine, clock)
        self._trail = Trail(engine, clock)
        self._root = data_folder.resolve()
        self._open_spool = open_spool

    # Identities

    def identities(self, study_instance_uid: str) -> StudyIdentities:
        """As `Corrector.identities`."""
        stored = self._corrections.instances(study_instance_uid)
        present = [instance for instance in stored if instance.discarded_at is None]
        headers = {
            instance.sop_instance_uid: header
            for instance, header in self._headers(present)
            if "StudyInstanceUID" in header
        }
        by_uid = {instance.sop_instance_uid: instance for instance in present}
        found = identities((uid, patient_facts(header)) for uid, header in headers.items())
        return StudyIdentities(
            patients=tuple(
                NamedPatient(one.patient, tuple(by_uid[uid] for uid in one.sop_instance_uids))
                for one in found
            ),
            unread=tuple(each for each in present if each.sop_instance_uid not in headers),
            discarded=tuple(each for each in stored if each.discarded_at is not None),
        )

    def resolve(
        self,
        study_instance_uid: str,
        keep: str,
        *,
        same_patient: bool,
        actor: str,
        details: Details,
    ) -> int:
        """As `Corrector.resolve`."""
        patients = self.identities(study_instance_uid).patients
        if not patients:
            raise CorrectionRefused(f"study {study_instance_uid} is not known, or has no file here")
        if len(patients) == 1:
            raise CorrectionRefused("the study's instances name one patient: nothing to resolve")
        kept = _chosen(patients, keep)
        others = [
            instance.sop_instance_uid
            for patient in patients
            if patient is not kept
            for instance in patient.instances
        ]
        told = {
            **details,
            "kept": [each.sop_instance_uid for each in kept.instances],
            "accepted" if same_patient else "discarded": others,
        }
        # Names the patient for those that are accepted: an instance that was accepted itself
        # would name another one once its own patient is asked for.
        named_by = next((i for i in kept.instances if i.patient_of is None), kept.instances[0])
        done = self._corrections.resolve(
            study_instance_uid,
            discard=() if same_patient else others,
            accept=dict.fromkeys(others, named_by.sop_instance_uid) if same_patient else {},
            actor=actor,
            details=told,
        )
        if not done:
            raise CorrectionRefused("the study changed meanwhile: look at its identities again")
        return len(others)

    def _headers(
        self, stored: Sequence[StoredInstance]
    ) -> Iterable[tuple[StoredInstance, Dataset]]:
        paths = {each.sop_instance_uid: self._root / each.path for each in stored}
        for instance in stored:
            if instance.purged_at is None:
                path, patient_path = (
                    self._root / instance.path,
                    paths.get(instance.patient_of or ""),
                )
                yield (
                    instance,
                    header_or_nothing(
                        Source(instance.sop_instance_uid, "", "", path, patient_path=patient_path)
                    ),
                )

    # Quarantine

    def quarantined(self) -> list[QuarantinedFile]:
        """As `Corrector.quarantined`."""
        found = []
        for path in self._open_spool().quarantined():
            try:
                found.append(self._described(path))
            except FileNotFoundError:  # another administrator was quicker
                continue
        return sorted(found, key=lambda file: file.received_at)

    def differences(self, name: str) -> list[Difference]:
        """As `Corrector.differences`."""
        path = self._path(name)
        new = _instance_in(path)
        stored = self._stored(new)
        stored_path = self._root / stored.path
        if stored.purged_at is not None or not stored_path.is_file():
            raise CorrectionRefused("the stored file is gone, so there is nothing to compare with")
        try:
            found = list(_differences(read_header(stored_path), read_header(path)))
        except DicomNodeError as error:
            raise CorrectionRefused(str(error)) from error
        if (same := same_pixels(stored_path, path)) is not True:
            told = "differ" if same is False else "not compared: compressed"
            found.append(Difference("Pixel Data", "", told))
        return found

    def accept(self, name: str, *, actor: str, details: Details) -> str:
        """As `Corrector.accept`."""
        spool, path = self._open_spool(), self._path(name)
        new = _instance_in(path)
        stored = self._stored(new)
        if stored.study_instance_uid != new.study_instance_uid:
            raise CorrectionRefused(
                f"{name} belongs to another study than the stored instance "
                f"{new.sop_instance_uid}: discard it, or correct it at its source"
            )
        if stored.sha256 == new.sha256:
            raise CorrectionRefused(f"{name} is the stored instance already: discard it")
        target = spool.readmit(path)
        row = _row(new, target.resolve().relative_to(self._root).as_posix())
        told = {
            **details,
            "file": name,
            "sop_instance_uid": new.sop_instance_uid,
            "sha256": new.sha256,
            "replaced_sha256": stored.sha256,
        }
        row = replace(row, calling_ae_title=stored.calling_ae_title)
        replaced = self._corrections.replace(row, stored.sha256, actor=actor, details=told)
        if replaced is None:
            if not self._ledger.known_path(row.path):
                spool.discard(target)
            raise CorrectionRefused("the stored instance changed meanwhile: look at it again")
        spool.readmit(path)  # a reconciler may have taken the name away before it was known
        if replaced != row.path:
            spool.discard(self._root / replaced)
        spool.discard(path)
        return new.study_instance_uid

    def discard(self, name: str, *, actor: str, details: Details) -> None:
        """As `Corrector.discard`."""
        spool, path = self._open_spool(), self._path(name)
        file = self._described(path)
        subject = file.study_instance_uid or name
        told = {**details, "file": name, "sop_instance_uid": file.sop_instance_uid}
        self._trail.note(actor, REFUSED, subject, told)
        spool.discard(path)

    def _described(self, path: Path) -> QuarantinedFile:
        received_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        plain = QuarantinedFile(path.name, received_at, path.stat().st_size, Standing.UNREADABLE)
        try:
            new = describe_file(path, "")
            patient = patient_facts(read_header(path))
        except DicomNodeError as error:
            return replace(plain, problem=str(error))
        stored = self._corrections.instance(new.sop_instance_uid)
        return replace(
            plain,
            standing=_standing(new, stored),
            study_instance_uid=new.study_instance_uid,
            sop_instance_uid=new.sop_instance_uid,
            patient=patient,
            stored_patient=None if stored is None else self._patient_of(stored),
        )

    def _patient_of(self, stored: StoredInstance) -> PatientFacts | None:
        if stored.purged_at is not None:
            return None
        try:
            return patient_facts(read_header(self._root / stored.path))
        except DicomNodeError:
            return None

    def _path(self, name: str) -> Path:
        for path in self._open_spool().quarantined():
            if path.name == name:
                return path
        raise CorrectionRefused(f"there is no file {name} in quarantine")

    def _stored(self, new: ReceivedInstance) -> StoredInstance:
        stored = self._corrections.instance(new.sop_instance_uid)
        if stored is None:
            raise CorrectionRefused(
                f"no instance {new.sop_instance_uid} is stored: send it again from its source"
            )
        return stored


def _chosen(patients: Sequence[NamedPatient], keep: str) -> NamedPatient:
    """The patient that has this ID, or an instance of this UID."""
    for patient in patients:
        if any(keep == each.sop_instance_uid for each in patient.instances):
            return patient
    found = [patient for patient in patients if patient.patient.patient_id == keep]
    if len(found) == 1:
        return found[0]
    problem = f"{len(found)} patients have" if found else "no patient of the study has"
    raise CorrectionRefused(
        f"{problem} this Patient ID: name the one to keep by the SOP Instance UID of one of its "
        "instances, as `fracture-screen study identities` lists them"
    )


def _instance_in(path: Path) -> ReceivedInstance:
    try:
        return describe_file(path, "")
    except DicomNodeError as error:
        raise CorrectionRefused(f"{path.name} cannot be read: {error}; discard it") from error


def _row(new: ReceivedInstance, relative_path: str) -> NewInstance:
    return NewInstance(
        study_instance_uid=new.study_instance_uid,
        series_instance_uid=new.series_instance_uid,
        sop_instance_uid=new.sop_instance_uid,
        sop_class_uid=new.sop_class_uid,
        transfer_syntax_uid=new.transfer_syntax_uid,
        calling_ae_title=new.calling_ae_title,
        path=relative_path,
        sha256=new.sha256,
        size=new.size,
    )


def _standing(new: ReceivedInstance, stored: StoredInstance | None) -> Standing:
    if stored is None:
        return Standing.UNKNOWN
    if stored.study_instance_uid != new.study_instance_uid:
        return Standing.OTHER_STUDY
    return Standing.STORED if stored.sha256 == new.sha256 else Standing.DIFFERS


def _differences(stored: Dataset, new: Dataset) -> Iterable[Difference]:
    for tag in sorted({*stored.keys(), *new.keys()}):
        before, after = _shown(stored, tag), _shown(new, tag)
        if before != after:
            element: DataElement = (new if tag in new else stored)[tag]
            yield Difference(element.name, before[:_LONGEST_SHOWN], after[:_LONGEST_SHOWN])


def _shown(dataset: Dataset, tag: int) -> str:
    if tag not in dataset:
        return ""
    try:
        element = dataset[tag]
        if element.VR in _BINARY_VRS:
            value = bytes(element.value or b"")
            return f"{len(value)} bytes ({hashlib.sha256(value).hexdigest()[:8]})"
        return printable(str(element.value))
    except Exception:  # pydicom converts when a value is used and raises whatever it provokes
        return "(cannot be read)"
