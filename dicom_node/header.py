"""Opens DICOM files: pydicom's parser behind guards, its many errors translated to one.

Nothing here looks at pixels; that is radiograph.py.
"""

import zlib
from collections.abc import Sequence
from pathlib import Path

from pydicom import Dataset, config, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID
from pynetdicom.dsutils import split_dataset

from dicom_node.errors import UnreadableInstance

_MAX_INFLATED_BYTES = 256 * 1024 * 1024

# What is wrong with a value is found where the value is used; pydicom's warnings quote the value,
# which may be patient data.
config.settings.reading_validation_mode = config.IGNORE


def read_header(path: Path, keywords: Sequence[str] = ()) -> Dataset:
    """The data set without pixels (group 7FE0) and what follows them.

    With `keywords` it holds at most those elements and its SOP UIDs; all others are skipped unread.

    Files without preamble or file meta information are read where pydicom can guess the encoding.
    Raises UnreadableInstance when the file cannot be read, isn't DICOM or nests too deep.
    """
    wanted = [*keywords, "SOPClassUID", "SOPInstanceUID"] if keywords else []
    return parse_file(path, stop_before_pixels=True, keywords=wanted)


def parse_file(path: Path, *, stop_before_pixels: bool, keywords: Sequence[str] = ()) -> Dataset:
    """The data set, with or without pixels; errors as for `read_header`."""
    try:
        _refuse_inflating_bomb(path)
        parsed = dcmread(
            path,
            force=True,
            stop_before_pixels=stop_before_pixels,
            specific_tags=list(keywords) or None,
        )
    except UnreadableInstance:
        raise
    except OSError as error:
        raise UnreadableInstance(f"cannot read {path.name}: {error.strerror or error}") from error
    except RecursionError as error:
        raise UnreadableInstance(f"{path.name}: sequences nested too deep") from error
    except Exception as error:
        # dcmread raises whatever the bytes provoke, and its messages may quote patient data.
        kind = type(error).__name__
        raise UnreadableInstance(f"{path.name} cannot be parsed as DICOM ({kind})") from None
    if "SOPClassUID" not in parsed and "SOPInstanceUID" not in parsed:
        # Any text file parses as some element or other.
        raise UnreadableInstance(f"{path.name} holds no DICOM instance: no SOP Class UID")
    return parsed


def split_file(path: Path) -> tuple[UID | None, int] | None:
    """Transfer syntax (None where not stated) and offset of the data set in bytes.

    None for a file without preamble, whose encoding can only be guessed.
    """
    try:
        file_meta, offset = split_dataset(path)
    except InvalidDicomError:
        return None
    return file_meta.get("TransferSyntaxUID") or None, offset


def _refuse_inflating_bomb(path: Path) -> None:
    split = split_file(path)
    if split is None or split[0] is None or not split[0].is_deflated:
        return
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    inflater.decompress(path.read_bytes()[split[1] :], _MAX_INFLATED_BYTES)
    if inflater.unconsumed_tail:
        raise UnreadableInstance(
            f"{path.name}: deflated data set of more than {_MAX_INFLATED_BYTES} bytes"
        )
