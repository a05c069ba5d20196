"""A data set on its way in: to the spool as it arrives, judged once it is whole."""

import struct
from dataclasses import dataclass

from pydicom.uid import ImplicitVRLittleEndian

from dicom_node.errors import DATA_SET_MISMATCH, DicomNodeError, MalformedInstance
from dicom_node.instance import ReceivedInstance
from dicom_node.received import check_uid, identify, is_own_file
from dicom_node.result_file import MANUFACTURER
from dicom_node.spool import Spool, SpoolWriter
from dicom_node.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

_PREAMBLE = b"\0" * 128 + b"DICM"
_GROUP_LENGTH = struct.Struct("<HH2sHL")
_MEDIA_STORAGE = struct.Struct("<HH2s2xL2s")
_SHORT_ELEMENT = struct.Struct("<HH2sH")


@dataclass(frozen=True, slots=True)
class Announced:
    """What a C-STORE request says of the instance that comes with it."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    calling_ae_title: str
    association_id: str = ""


class IncomingDataSet:
    """The data set of a C-STORE request; with a `refusal` it is unwanted anyway.

    Writing never raises: the peer sends on to the end in any case, and `store` says what was wrong.
    """

    def __init__(
        self, announced: Announced, spool: Spool, refusal: DicomNodeError | None = None
    ) -> None:
        self._announced = announced
        self._error = refusal
        self._writer: SpoolWriter | None = None
        self._head_size = 0
        self._size = 0
        if refusal is None:
            self._begin(spool)

    @property
    def association_id(self) -> str:
        """Of our listener's association that it comes on; empty: none."""
        return self._announced.association_id

    @property
    def size(self) -> int:
        """Bytes of the data set so far."""
        return self._size

    def write(self, piece: bytes | memoryview) -> None:
        """Add the next bytes of the data set."""
        self._size += len(piece)
        if self._writer is None or self._error is not None:
            return
        try:
            self._writer.write(piece)
        except DicomNodeError as error:
            self._error = error

    def store(self) -> ReceivedInstance:
        """Make it durable. Raises MalformedInstance or SpoolError; then nothing of it is left."""
        if self._writer is None or self._error is not None or not self._size:
            raise self._error or MalformedInstance("the request has no data set")
        return self._stored(self._writer)

    def close(self) -> None:
        """Remove what was not stored."""
        if self._writer is not None:
            self._writer.discard()
        self._error = self._error or MalformedInstance("the association has ended")

    def _stored(self, writer: SpoolWriter) -> ReceivedInstance:
        announced = self._announced
        implicit_vr = announced.transfer_syntax_uid == ImplicitVRLittleEndian
        with writer.written() as whole, whole[self._head_size :] as encoded:
            uids, header_size = identify(encoded, implicit_vr=implicit_vr)
            # Parsed only where our name is in it: nearly everything comes from other equipment.
            names_us = MANUFACTURER.encode() in bytes(encoded[:header_size])
        if (uids.sop_class_uid, uids.sop_instance_uid) != (
            announced.sop_class_uid,
            announced.sop_instance_uid,
        ):
            raise MalformedInstance(
                "SOP Class or Instance UID differs from the request", status=DATA_SET_MISMATCH
            )
        spooled = writer.commit()
        return ReceivedInstance(
            study_instance_uid=uids.study_instance_uid,
            series_instance_uid=uids.series_instance_uid,
            sop_instance_uid=uids.sop_instance_uid,
            sop_class_uid=uids.sop_class_uid,
            transfer_syntax_uid=announced.transfer_syntax_uid,
            calling_ae_title=announced.calling_ae_title,
            path=spooled.path,
            sha256=spooled.sha256,
            size=spooled.size,
            is_own_result=names_us and is_own_file(spooled.path),
            association_id=announced.association_id,
            patient_and_study=uids.patient_and_study,
        )

    def _begin(self, spool: Spool) -> None:
        try:
            check_uid(self._announced.sop_class_uid, "Affected SOP Class UID")
            check_uid(self._announced.sop_instance_uid, "Affected SOP Instance UID")
            head = file_head(self._announced)
            self._writer = spool.open()
            self._writer.write(head)
            self._head_size = len(head)
        except DicomNodeError as error:
            self._error = error


def file_head(announced: Announced) -> bytes:
    """Preamble and file meta information (PS3.10 7.1), the same whoever sent the instance.

    So the digest of a file tells whether the same bytes came again, from whatever AE.
    """
    meta = (
        _MEDIA_STORAGE.pack(2, 0x0001, b"OB", 2, b"\0\1")
        + _meta_element(0x0002, b"UI", announced.sop_class_uid)
        + _meta_element(0x0003, b"UI", announced.sop_instance_uid)
        + _meta_element(0x0010, b"UI", announced.transfer_syntax_uid)
        + _meta_element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID)
        + _meta_element(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME)
    )
    return _PREAMBLE + _GROUP_LENGTH.pack(2, 0x0000, b"UL", 4, len(meta)) + meta


def _meta_element(number: int, vr: bytes, value: str) -> bytes:
    encoded = value.encode("ascii")
    if len(encoded) % 2:
        encoded += b"\0" if vr == b"UI" else b" "
    return _SHORT_ELEMENT.pack(2, number, vr, len(encoded)) + encoded
