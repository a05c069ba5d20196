"""Command sets of C-STORE (PS3.7 9.3.1, encoded as in 6.3.1), read and written at once.

An association meets two per instance; pydicom's data elements would cost more than the rest of it.
"""

import struct
from dataclasses import dataclass

_ELEMENT = struct.Struct("<HHL")
_UNSIGNED_SHORT = struct.Struct("<H")
_STORE_REQUEST, _STORE_RESPONSE, _NO_DATA_SET = 0x0001, 0x8001, 0x0101

_GROUP_LENGTH = 0x0000
_AFFECTED_SOP_CLASS_UID = 0x0002
_COMMAND_FIELD = 0x0100
_MESSAGE_ID = 0x0110
_MESSAGE_ID_BEING_RESPONDED_TO = 0x0120
_COMMAND_DATA_SET_TYPE = 0x0800
_STATUS = 0x0900
_ERROR_COMMENT = 0x0902
_AFFECTED_SOP_INSTANCE_UID = 0x1000


@dataclass(frozen=True, slots=True)
class StoreRequest:
    """A C-STORE request; its UIDs are as they were sent, without padding, and may be invalid."""

    context_id: int
    message_id: int
    sop_class_uid: str
    sop_instance_uid: str
    has_data_set: bool


def parse_store_request(context_id: int, command_set: bytes | bytearray) -> StoreRequest | None:
    """The request in a command set; None where it is another message, or malformed."""
    elements = _elements(command_set)
    try:
        if _unsigned_short(elements[_COMMAND_FIELD]) != _STORE_REQUEST:
            return None
        return StoreRequest(
            context_id=context_id,
            message_id=_unsigned_short(elements[_MESSAGE_ID]),
            sop_class_uid=_uid(elements[_AFFECTED_SOP_CLASS_UID]),
            sop_instance_uid=_uid(elements[_AFFECTED_SOP_INSTANCE_UID]),
            has_data_set=_unsigned_short(elements[_COMMAND_DATA_SET_TYPE]) != _NO_DATA_SET,
        )
    except (KeyError, ValueError, struct.error):
        return None


def encode_store_response(request: StoreRequest, status: int, error_comment: str) -> bytes:
    """The command set that answers `request`; `error_comment`: ASCII, at most 64 characters."""
    elements = [
        _element(_AFFECTED_SOP_CLASS_UID, request.sop_class_uid.encode("ascii"), b"\0"),
        _short_element(_COMMAND_FIELD, _STORE_RESPONSE),
        _short_element(_MESSAGE_ID_BEING_RESPONDED_TO, request.message_id),
        _short_element(_COMMAND_DATA_SET_TYPE, _NO_DATA_SET),
        _short_element(_STATUS, status),
        _element(_AFFECTED_SOP_INSTANCE_UID, request.sop_instance_uid.encode("ascii"), b"\0"),
    ]
    if error_comment:
        elements.insert(5, _element(_ERROR_COMMENT, error_comment.encode("ascii"), b" "))
    encoded = b"".join(elements)
    return _element(_GROUP_LENGTH, struct.pack("<L", len(encoded)), b"") + encoded


def _elements(command_set: bytes | bytearray) -> dict[int, bytes]:
    """Values by element number; none where a length or a group is wrong."""
    found = {}
    position = 0
    while position + _ELEMENT.size <= len(command_set):
        group, number, length = _ELEMENT.unpack_from(command_set, position)
        begin, position = position + _ELEMENT.size, position + _ELEMENT.size + length
        if group != 0 or position > len(command_set):
            return {}
        found[number] = bytes(command_set[begin:position])
    return found if position == len(command_set) else {}


def _uid(value: bytes) -> str:
    """Raises ValueError unless it is one text in ASCII."""
    if b"\\" in value:
        raise ValueError("several values")
    return value.decode("ascii").rstrip("\0 ")


def _unsigned_short(value: bytes) -> int:
    return int(_UNSIGNED_SHORT.unpack(value)[0])


def _short_element(number: int, value: int) -> bytes:
    return _element(number, _UNSIGNED_SHORT.pack(value), b"")


def _element(number: int, value: bytes, padding: bytes) -> bytes:
    if len(value) % 2:
        value += padding
    return _ELEMENT.pack(0, number, len(value)) + value
