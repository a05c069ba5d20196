"""From encoded bytes or a file to a ReceivedInstance: which instance it is, and whether whole."""

import hashlib
import mmap
import re
from pathlib import Path

from pydicom import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dicom_node.data_set_scan import DataSetUids, scan_data_set
from dicom_node.errors import MalformedInstance, UnreadableInstance
from dicom_node.header import read_header, split_file
from dicom_node.instance import ReceivedInstance
from dicom_node.result_file import is_own_result
from dicom_node.study_elements import elements_of

_UID_PATTERN = re.compile(r"[0-9]+(\.[0-9]+)*")
_NOT_SCANNED = (DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian)


def check_uid(uid: str, name: str) -> None:
    """Raise MalformedInstance unless `uid` is digits and dots, at most 64 characters.

    PS3.5 9.1, except that components with leading zeros pass: they are wrong, common and harmless.
    """
    if len(uid) > 64 or not _UID_PATTERN.fullmatch(uid):
        raise MalformedInstance(f"{name} {uid[:24]!r} is not a valid UID")


def identify(encoded: memoryview, *, implicit_vr: bool) -> tuple[DataSetUids, int]:
    """UIDs of an encoded little endian data set that is whole; bytes of it before the pixels.

    Raises MalformedInstance (0xC000) where it isn't whole or not fully identified.
    """
    uids, header_size = scan_data_set(encoded, implicit_vr=implicit_vr)
    check_uid(uids.sop_class_uid, "SOP Class UID")
    check_uid(uids.sop_instance_uid, "SOP Instance UID")
    check_uid(uids.study_instance_uid, "Study Instance UID")
    check_uid(uids.series_instance_uid, "Series Instance UID")
    return uids, header_size


def is_own_file(path: Path) -> bool:
    """Whether we made the object in a file; False where its header cannot be parsed."""
    try:
        return is_own_result(read_header(path))
    except UnreadableInstance:
        return False


def describe_file(path: Path, calling_ae_title: str) -> ReceivedInstance:
    """The instance in a file: of the spool after a crash, or of a folder that is screened.

    Files without preamble or file meta are described where pydicom can read them. Raises
    UnreadableInstance when the file is no DICOM instance, is truncated or lacks an identifying UID.
    """
    header = read_header(path)
    patient_and_study = elements_of(header)
    try:
        _require_whole(path)
        uids = _uids(header)
    except MalformedInstance as error:
        raise UnreadableInstance(f"{path.name}: {error}") from error
    except Exception as error:
        # pydicom converts values when they are used and raises whatever they provoke.
        kind = type(error).__name__
        raise UnreadableInstance(f"{path.name}: malformed attribute ({kind})") from None
    digest, size = _digest(path)
    return ReceivedInstance(
        study_instance_uid=uids.study_instance_uid,
        series_instance_uid=uids.series_instance_uid,
        sop_instance_uid=uids.sop_instance_uid,
        sop_class_uid=uids.sop_class_uid,
        transfer_syntax_uid=_transfer_syntax(header),
        calling_ae_title=calling_ae_title,
        path=path,
        sha256=digest,
        size=size,
        is_own_result=is_own_result(header),
        patient_and_study=patient_and_study,
    )


def elements_in_file(path: Path) -> bytes:
    """Return a file's text elements of patient and study without a parser; b"": they are not known.

    For files that may be what ended a process: only lengths are followed, as at reception.
    """
    try:
        found = _scanned(path)
    except (OSError, MalformedInstance):
        return b""
    return b"" if found is None else found.patient_and_study


def _require_whole(path: Path) -> None:
    _scanned(path)


def _scanned(path: Path) -> DataSetUids | None:
    """The scan of a file's data set; None where its encoding can only be guessed or is another."""
    split = split_file(path)
    if split is None:
        return None
    transfer_syntax, offset = split
    if transfer_syntax is None or transfer_syntax in _NOT_SCANNED:
        return None
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        memoryview(mapped) as whole,
        whole[offset:] as encoded,
    ):
        implicit_vr = transfer_syntax == ImplicitVRLittleEndian
        return scan_data_set(encoded, implicit_vr=implicit_vr)[0]


def _uids(header: Dataset) -> DataSetUids:
    found = []
    for keyword in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        uid = str(header.get(keyword) or "")
        check_uid(uid, keyword)
        found.append(uid)
    return DataSetUids(*found)


def _transfer_syntax(header: Dataset) -> str:
    stated = getattr(header, "file_meta", Dataset()).get("TransferSyntaxUID")
    if stated:
        return str(stated)
    implicit_vr, little_endian = header.original_encoding
    if not little_endian:
        return str(ExplicitVRBigEndian)
    return str(ImplicitVRLittleEndian if implicit_vr else ExplicitVRLittleEndian)


def _digest(path: Path) -> tuple[str, int]:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size
