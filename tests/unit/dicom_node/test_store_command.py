from io import BytesIO

import pytest
from pydicom import uid
from pynetdicom.dimse_messages import C_STORE_RQ, C_STORE_RSP
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import decode, encode

from dicom_node.store_command import StoreRequest, encode_store_response, parse_store_request
from tests.security import wire

REQUEST = StoreRequest(3, 7, str(uid.ComputedRadiographyImageStorage), "1.2.3", has_data_set=True)


def _command_set(primitive: C_STORE, message: C_STORE_RQ | C_STORE_RSP) -> bytes:
    message.primitive_to_message(primitive)
    encoded = encode(message.command_set, is_implicit_vr=True, is_little_endian=True)
    assert encoded is not None
    return encoded


@pytest.mark.parametrize("instance_uid", ["1.2.3", "1.2.34"], ids=["padded", "even"])
def test_a_request_of_pynetdicom_is_understood(instance_uid: str) -> None:
    primitive = C_STORE()
    primitive.MessageID = 7
    primitive.AffectedSOPClassUID = REQUEST.sop_class_uid
    primitive.AffectedSOPInstanceUID = instance_uid
    primitive.Priority = 2
    primitive.DataSet = BytesIO(b"data")

    request = parse_store_request(3, _command_set(primitive, C_STORE_RQ()))

    assert request == StoreRequest(3, 7, REQUEST.sop_class_uid, instance_uid, has_data_set=True)


@pytest.mark.parametrize(("status", "comment"), [(0x0000, ""), (0xC000, "odd"), (0xA700, "even")])
def test_a_response_is_encoded_as_pynetdicom_encodes_it(status: int, comment: str) -> None:
    primitive = C_STORE()
    primitive.MessageIDBeingRespondedTo = REQUEST.message_id
    primitive.AffectedSOPClassUID = REQUEST.sop_class_uid
    primitive.AffectedSOPInstanceUID = REQUEST.sop_instance_uid
    primitive.Status = status
    if comment:
        primitive.ErrorComment = comment

    assert encode_store_response(REQUEST, status, comment) == _command_set(primitive, C_STORE_RSP())


def test_a_response_can_be_read_by_pydicom() -> None:
    response = decode(
        BytesIO(encode_store_response(REQUEST, 0xC000, "no UID")),
        is_implicit_vr=True,
        is_little_endian=True,
    )

    assert (response.Status, response.ErrorComment) == (0xC000, "no UID")
    assert response.MessageIDBeingRespondedTo == 7


def test_a_request_may_lack_its_data_set() -> None:
    command = wire.store_command().replace(
        wire.element(0, 0x0800, b"\0\0"), wire.element(0, 0x0800, b"\1\1")
    )

    request = parse_store_request(1, command)

    assert request is not None
    assert not request.has_data_set


@pytest.mark.parametrize(
    "command",
    {
        "another message": wire.store_command().replace(
            wire.element(0, 0x0100, b"\1\0"), wire.element(0, 0x0100, b"\x30\0")
        ),
        "nothing": b"",
        "no instance UID": wire.store_command()[: -len(wire.element(0, 0x1000, b"1.2.3"))],
        "a length beyond the end": wire.store_command() + b"\0\0\2\x10\xff\xff\0\0",
        "half an element": wire.store_command() + b"\0\0\2\x10",
        "an element of a data set": wire.store_command() + wire.element(8, 0x18, b"1.2"),
        "two UIDs": wire.store_command("1.2.3\\1.2.4"),
        "a UID that is no ASCII": wire.store_command("1.2.é"),
        "a message ID of four bytes": wire.store_command() + wire.element(0, 0x0110, b"\0\0\0\0"),
    }.items(),
    ids=lambda case: case[0],
)
def test_what_is_no_sound_request_is_left_to_pynetdicom(command: tuple[str, bytes]) -> None:
    assert parse_store_request(1, command[1]) is None
