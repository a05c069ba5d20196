"""Attributes of a DICOM header as text."""

from pydicom import Dataset
from pydicom.multival import MultiValue

from training.errors import DataError


def header_text(header: Dataset, keyword: str) -> str:
    """The first value of an attribute, stripped; empty where it is absent.

    Raises:
        DataError: its value is malformed. An empty patient in its place would part what belongs
            together.
    """
    try:
        value = header.get(keyword)
        first = value[0] if isinstance(value, MultiValue) and value else value
        return "" if first is None else str(first).strip()
    except Exception as error:  # pydicom converts on use, and raises whatever the bytes provoke
        raise DataError(f"malformed {keyword} ({type(error).__name__})") from None
