"""Result objects as files, and how we know our own when they come back."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from dicom_node.errors import SpoolError
from dicom_node.spool import sync_folder
from dicom_node.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

MANUFACTURER = "Fracture Screen"
"""Manufacturer (0008,0070) of our equipment; `is_own_result` knows our objects by it."""


def write_result(dataset: Dataset, path: Path, *, frozen: bool = False) -> None:
    """Write a result object durably as a DICOM file, Explicit VR Little Endian (PS3.10 7).

    The file appears whole or not at all, mode 0600. A `frozen` one is never written over: of two
    writers, the first wins, and the second finds its bytes. Raises SpoolError when it cannot be
    written.
    """
    dataset.file_meta = _file_meta(dataset)
    _write(path, lambda file: dataset.save_as(file, enforce_file_format=True), frozen=frozen)


def write_message(content: bytes, path: Path) -> None:
    """Write a result that is no DICOM object likewise, frozen. Raises SpoolError."""

    def write(file: BinaryIO) -> None:
        file.write(content)

    _write(path, write, frozen=True)


def is_own_result(dataset: Dataset) -> bool:
    """Whether we made this object: a DERIVED or non-image object of our equipment.

    Looked for in Manufacturer and in Contributing Equipment (PS3.3 C.12.1), which survives a
    PACS that writes its own Manufacturer. What cannot be converted was not written by us.
    """
    try:
        return _bears_our_name(dataset)
    except Exception:  # pydicom converts values when they are used and raises whatever they provoke
        return False


def _bears_our_name(dataset: Dataset) -> bool:
    image_type = dataset.get("ImageType") or ["DERIVED"]
    if "DERIVED" not in image_type:
        return False
    equipment = [dataset, *(dataset.get("ContributingEquipmentSequence") or [])]
    return any(str(item.get("Manufacturer", "")).strip() == MANUFACTURER for item in equipment)


def _write(path: Path, write: Callable[[BinaryIO], None], *, frozen: bool) -> None:
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        if frozen:
            _link_once(temporary, path)
        else:
            temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise SpoolError(f"cannot write {path.name}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _file_meta(dataset: Dataset) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    return meta


def _link_once(temporary: Path, path: Path) -> None:
    # Unlike a rename, a link fails where the name is taken.
    with contextlib.suppress(FileExistsError):
        path.hardlink_to(temporary)
