"""Object intake: encoded data sets as the listener checks them, and whole files.

A case is one byte (0: explicit VR, 1: implicit VR, 2: a file) and the bytes.
"""

import io
import struct
from collections import Counter
from contextlib import suppress
from pathlib import Path

from pydicom import Dataset, dcmread, uid
from pydicom.filereader import data_element_generator

from dicom_node.data_set_scan import DataSetUids
from dicom_node.errors import MalformedInstance, UnreadableInstance
from dicom_node.header import read_header
from dicom_node.received import describe_file, identify
from dicom_node.result_file import is_own_result
from tests.fuzz.dicom_bytes import data_set_grammar, element, file_head, named, sequence
from tests.fuzz.finding import Finding, bounded, require
from tests.unit.dicom_node.instances import encoded, radiograph_dataset

EXPLICIT, IMPLICIT, FILE = b"\0", b"\1", b"\2"
_CPU_S = 2.0
_MIB = 128
_CUTS = 12

_NESTED = sequence("ProcedureCodeSequence", named("CodeValue", b"1 ") + named("CodeMeaning", b"x "))
_NESTED_OF_KNOWN_LENGTH = (
    b"\x08\x00\x32\x10SQ\0\0\xff\xff\xff\xff"
    + (struct.pack("<HHL", 0xFFFE, 0xE000, 10) + named("CodeValue", b"1 ")) * 2
    + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
)

GRAMMAR = data_set_grammar(
    (
        _NESTED,
        _NESTED_OF_KNOWN_LENGTH,
        sequence("ProcedureCodeSequence"),
        sequence("ContributingEquipmentSequence", named("Manufacturer", b"Fracture Screen ")),
        named("ProcedureCodeSequence", b"\xfe\xff\x00\xe0\0\0\0\0"),
        named("ImageType", b"DERIVED\\SECONDARY "),
        named("Manufacturer", b"Fracture Screen "),
        named("SpecificCharacterSet", b"ISO_IR 999"),
        named("SpecificCharacterSet", b"\\ISO 2022 IR 87 "),
        named("SOPClassUID", b"1.2.3 "),
        named("SOPInstanceUID", b"1.2.4 "),
        named("StudyInstanceUID", b"1.2.5 "),
        named("SeriesInstanceUID", b"1.2.6 ", b"UN"),
        named("TransferSyntaxUID", b"1.2.840.10008.1.2 "),
        element(0x00091001, b"UN", b"\xfe\xff\x00\xe0\xff\xff\xff\xff"),
        element(0x00110010, b"ZZ", b"private "),
        struct.pack("<HHL", 0x0009, 0x1002, 2) + b"im",
        struct.pack("<HH", 0x0009, 0x1003) + b"UN\0\0\xff\xff\xff\xff",
        struct.pack("<HHL", 0xFFFE, 0xE000, 0),
        struct.pack("<HHL", 0xFFFE, 0xE00D, 0),
        struct.pack("<HHL", 0xFFFE, 0xE0DD, 0),
    )
)


def seeds(folder: Path) -> list[bytes]:
    """Valid cases of each kind."""
    explicit = encoded(_dataset())
    implicit = encoded(_dataset(), implicit_vr=True)
    deflated = _deflated()
    return [
        EXPLICIT + explicit,
        EXPLICIT + _NESTED + explicit,
        EXPLICIT + _NESTED_OF_KNOWN_LENGTH + explicit,
        IMPLICIT + implicit,
        FILE + file_head(uid.ExplicitVRLittleEndian) + _NESTED + explicit,
        FILE + file_head(uid.ImplicitVRLittleEndian) + implicit,
        FILE + explicit,
        FILE + implicit,
        FILE + deflated,
        FILE + file_head(uid.ExplicitVRBigEndian) + _big_endian(),
    ]


class ObjectTarget:
    """Calls the checks of received bytes; `folder` is where files are written for them."""

    def __init__(self, folder: Path) -> None:
        self.notes: Counter[str] = Counter()
        self._path = folder / "case.dcm"

    def run(self, case: bytes) -> None:
        """Raise Finding, or what should not have been raised, when a contract is broken."""
        with bounded(_CPU_S, _MIB):
            if case[:1] in (EXPLICIT, IMPLICIT):
                self._run_data_set(case[1:], implicit_vr=case[:1] == IMPLICIT)
            else:
                self._path.write_bytes(case[1:])
                _describe(self._path)

    def accepts(self, case: bytes) -> bool:
        """Whether the checks let the case pass."""
        if case[:1] in (EXPLICIT, IMPLICIT):
            return bool(identify(memoryview(case[1:]), implicit_vr=case[:1] == IMPLICIT))
        self._path.write_bytes(case[1:])
        return _describe(self._path) is not None

    def _run_data_set(self, data: bytes, *, implicit_vr: bool) -> None:
        try:
            found, _ = identify(memoryview(data), implicit_vr=implicit_vr)
        except MalformedInstance as error:
            require(error.status == 0xC000, f"status 0x{error.status:04X}")
            return
        starts = _starts_of_elements(data, implicit_vr=implicit_vr)
        _require_truncation_is_refused(data, starts, implicit_vr=implicit_vr)
        syntax = uid.ImplicitVRLittleEndian if implicit_vr else uid.ExplicitVRLittleEndian
        self._path.write_bytes(file_head(syntax) + data)
        described = _describe(self._path)
        require(described is not None, "accepted on reception, but not from the spool")
        require(described == found, f"{found} on reception, {described} from the spool")

    def check(self) -> None:
        """Nothing is left between cases."""

    def close(self) -> None:
        """Remove the file."""
        self._path.unlink(missing_ok=True)


def _describe(path: Path) -> DataSetUids | None:
    try:
        instance = describe_file(path, "FUZZ")
    except UnreadableInstance:
        return None
    require(instance.size == path.stat().st_size, "another size than the file's")
    # What worker.intake does next with every instance.
    with suppress(UnreadableInstance):
        is_own_result(read_header(path))
    return DataSetUids(
        instance.sop_class_uid,
        instance.sop_instance_uid,
        instance.study_instance_uid,
        instance.series_instance_uid,
    )


def _starts_of_elements(data: bytes, *, implicit_vr: bool) -> set[int]:
    """Where pydicom sees top level elements begin, and the end."""
    file, starts = io.BytesIO(data), {0}
    try:
        for _ in data_element_generator(file, implicit_vr, True):
            starts.add(file.tell())
    except Exception as error:
        raise Finding(f"accepted, but pydicom raises {error!r}") from error
    return starts


def _require_truncation_is_refused(data: bytes, starts: set[int], *, implicit_vr: bool) -> None:
    """Between elements a cut cannot be told; the listener's peers close messages by other means."""
    for number in range(_CUTS):
        length = len(data) * number // _CUTS + (number * 7 + len(data)) % 11
        if length >= len(data) or length in starts:
            continue
        with suppress(MalformedInstance):
            identify(memoryview(data)[:length], implicit_vr=implicit_vr)
            raise Finding(f"cut after {length} of {len(data)} bytes, and accepted")


def _dataset() -> Dataset:
    dataset = radiograph_dataset(rows=4, columns=4)
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    inner = Dataset()
    inner.CodeValue = "1"
    dataset.ProcedureCodeSequence = [inner]
    return dataset


def _deflated() -> bytes:
    dataset, buffer = _dataset(), io.BytesIO()
    head = file_head(uid.DeflatedExplicitVRLittleEndian)
    dataset.file_meta = dcmread(io.BytesIO(head), force=True).file_meta
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _big_endian() -> bytes:
    buffer = io.BytesIO()
    _dataset().save_as(buffer, implicit_vr=False, little_endian=False)
    return buffer.getvalue()
