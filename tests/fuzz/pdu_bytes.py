"""PDUs and DIMSE messages as bytes (PS3.8 9.3, PS3.7 annex E), and how streams are edited."""

import struct
from collections.abc import Iterable

from pydicom import uid
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at run time
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    Verification,
)

from tests.fuzz.dicom_bytes import INTERESTING_VALUES
from tests.fuzz.edits import Grammar
from tests.security import wire
from tests.unit.dicom_node.instances import encoded, radiograph_dataset

IMPLICIT, EXPLICIT = str(uid.ImplicitVRLittleEndian), str(uid.ExplicitVRLittleEndian)
CR = str(uid.ComputedRadiographyImageStorage)
CONTEXTS = (
    (1, CR, (IMPLICIT,)),
    (3, CR, (EXPLICIT, IMPLICIT)),
    (5, str(Verification), (IMPLICIT,)),
    (7, str(StorageCommitmentPushModel), (IMPLICIT,)),
)
"""What the seeds propose: context ID, abstract syntax, transfer syntaxes."""

INSTANCE_UID = str(radiograph_dataset().SOPInstanceUID)
RELEASE = wire.pdu(5, bytes(4))
ABORT = wire.pdu(7, bytes(4))

_ROLE = struct.pack(">H", len(StorageCommitmentPushModel)) + StorageCommitmentPushModel.encode()
USER_ITEMS = (
    wire.item(0x51, struct.pack(">L", 16384)),
    wire.item(0x52, b"1.2.3"),
    wire.item(0x53, struct.pack(">HH", 1, 1)),
    wire.item(0x54, _ROLE + b"\1\1"),
    wire.item(0x55, b"FUZZ"),
    wire.item(0x56, struct.pack(">H", 5) + b"1.2.3" + b"\1\1"),
    wire.item(0x57, struct.pack(">H", 5) + b"1.2.3" + struct.pack(">H", 3) + b"1.2" + bytes(2)),
    wire.item(0x58, b"\1\1" + struct.pack(">H", 4) + b"user" + struct.pack(">H", 4) + b"pass"),
)


def associate_request(
    contexts: Iterable[tuple[int, str, tuple[str, ...]]] = CONTEXTS,
    user_items: Iterable[bytes] = USER_ITEMS[:2],
    *,
    calling: bytes = b"FUZZ",
    version: int = 1,
) -> bytes:
    """A-ASSOCIATE-RQ."""
    body = struct.pack(">HH", version, 0) + b"SCREEN".ljust(16) + calling.ljust(16)[:16] + bytes(32)
    body += wire.item(0x10, wire.APPLICATION_CONTEXT)
    for number, abstract_syntax, transfer_syntaxes in contexts:
        items = wire.item(0x30, abstract_syntax.encode())
        items += b"".join(wire.item(0x40, each.encode()) for each in transfer_syntaxes)
        body += wire.item(0x20, bytes([number, 0, 0, 0]) + items)
    return wire.pdu(1, body + wire.item(0x50, b"".join(user_items)))


def command(*elements: tuple[int, bytes]) -> bytes:
    """A command set with its group length, of (element number in group 0000, value)."""
    body = b"".join(wire.element(0, number, value) for number, value in elements)
    return wire.element(0, 0, struct.pack("<L", len(body))) + body


def fragment(context: int, data: bytes, *, is_command: bool, last: bool) -> bytes:
    """A P-DATA-TF with one PDV."""
    control = is_command | last << 1
    return wire.pdu(4, struct.pack(">LBB", len(data) + 2, context, control) + data)


def message(context: int, command_set: bytes, data_set: bytes = b"", pieces: int = 1) -> bytes:
    """A whole DIMSE message, its data set in `pieces` fragments."""
    stream = fragment(context, command_set, is_command=True, last=True)
    size = -(-len(data_set) // pieces)
    for start in range(0, len(data_set), size or 1):
        piece = data_set[start : start + size]
        last = start + size >= len(data_set)
        stream += fragment(context, piece, is_command=False, last=last)
    return stream


def echo(message_id: int = 1) -> bytes:
    return command(
        (0x0002, Verification.encode()), (0x0100, _us(0x30)), (0x0110, _us(message_id)), _NO_DATA
    )


def store(message_id: int = 1, instance_uid: str = INSTANCE_UID) -> bytes:
    return command(
        (0x0002, CR.encode()),
        (0x0100, _us(1)),
        (0x0110, _us(message_id)),
        (0x0700, _us(0)),
        _DATA,
        (0x1000, instance_uid.encode()),
    )


def commitment(request: int, kind: int = 1, message_id: int = 1) -> bytes:
    """N-ACTION-RQ (`request` 0x0130) or N-EVENT-REPORT-RQ (0x0100)."""
    is_action = request == 0x0130
    return command(
        (0x0003 if is_action else 0x0002, StorageCommitmentPushModel.encode()),
        (0x0100, _us(request)),
        (0x0110, _us(message_id)),
        _DATA,
        (0x1001 if is_action else 0x1000, StorageCommitmentPushModelInstance.encode()),
        (0x1008 if is_action else 0x1002, _us(kind)),
    )


def commitment_information(references: int = 1, failed: int = 0) -> bytes:
    """Action or event information, implicit VR (PS3.4 tables J.3-1 and J.3-2)."""
    item = wire.element(8, 0x1150, CR.encode()) + wire.element(8, 0x1155, b"1.2.3.4")
    reason = wire.element(8, 0x1197, _us(0x0110))
    information = wire.element(8, 0x1195, b"1.2.3.99")
    if failed:
        information += wire.element(8, 0x1198, _item(item + reason) * failed)
    if references:
        information += wire.element(8, 0x1199, _item(item) * references)
    return information


def streams() -> list[bytes]:
    """Valid streams: what seeds are made of."""
    implicit = encoded(radiograph_dataset(rows=4, columns=4), implicit_vr=True)
    explicit = encoded(radiograph_dataset(rows=4, columns=4))
    stored = message(1, store(), implicit)
    action = message(7, commitment(0x0130), commitment_information(3))
    report = message(7, commitment(0x0100, 2), commitment_information(2, 1))
    return [
        associate_request() + RELEASE,
        associate_request(user_items=USER_ITEMS) + message(5, echo()) + RELEASE,
        associate_request() + stored + RELEASE,
        associate_request() + message(3, store(), explicit, pieces=5) + stored + RELEASE,
        associate_request() + stored + ABORT,
        associate_request(user_items=USER_ITEMS) + action + RELEASE,
        associate_request(user_items=USER_ITEMS) + report + RELEASE,
    ]


def split_pdus(stream: bytes) -> list[bytes]:
    """PDUs and what is left; joined they are the stream again."""
    pieces, position = [], 0
    while position < len(stream):
        end = len(stream)
        if position + 6 <= len(stream):
            (length,) = struct.unpack_from(">L", stream, position + 2)
            end = min(position + 6 + length, len(stream))
        pieces.append(stream[position:end])
        position = end
    return pieces


def stored_uids(answers: bytes) -> list[str]:
    """SOP Instance UIDs of the C-STORE-RSP with status 0x0000 among the listener's answers."""
    commands = [_elements(pdu[12:]) for pdu in split_pdus(answers) if pdu[:1] == b"\4"]
    return [
        each[0x1000].rstrip(b"\0 ").decode("ascii")
        for each in commands
        if each.get(0x0100) == _us(0x8001) and each.get(0x0900) == _us(0) and 0x1000 in each
    ]


def _elements(command_set: bytes) -> dict[int, bytes]:
    found, position = {}, 0
    while position + 8 <= len(command_set):
        _, number, length = struct.unpack_from("<HHL", command_set, position)
        found[number] = command_set[position + 8 : position + 8 + length]
        position += 8 + length
    return found


def _refit(pdu: bytes) -> bytes:
    """With the lengths that the PDU and, in a P-DATA-TF, its only PDV have."""
    if len(pdu) < 6:
        return pdu
    body = pdu[6:]
    if pdu[0] == 4 and len(body) >= 6:
        body = struct.pack(">L", len(body) - 4) + body[4:]
    return pdu[:2] + struct.pack(">L", len(body)) + body


def _value_at(pdu: bytes) -> int:
    return 12 if pdu[:1] == b"\4" else 6


def _us(number: int) -> bytes:
    return struct.pack("<H", number)


def _item(content: bytes) -> bytes:
    return struct.pack("<HHL", 0xFFFE, 0xE000, len(content)) + content


_NO_DATA, _DATA = (0x0800, _us(0x0101)), (0x0800, _us(0))

COMMANDS = (
    store(),
    store(2, "1.2.3"),
    echo(),
    commitment(0x0130),
    commitment(0x0100, 2),
    commitment(0x0100, 9),
)
COMMAND_VALUES = (
    b"",
    CR.encode(),
    Verification.encode(),
    StorageCommitmentPushModel.encode(),
    StorageCommitmentPushModelInstance.encode(),
    INSTANCE_UID.encode(),
    b"1.2\\1.3",
    *(_us(number) for number in (0, 1, 2, 0x0020, 0x0030, 0x0100, 0x0101, 0x0130, 0x0FFF, 0x8001)),
)
DATA_SETS = (
    b"",
    encoded(radiograph_dataset(rows=4, columns=4), implicit_vr=True),
    encoded(radiograph_dataset(2, rows=4, columns=4)),
    encoded(radiograph_dataset(rows=4, columns=4), implicit_vr=True)[:-1],
    commitment_information(3),
    commitment_information(1, 2),
    bytes(40),
)

GRAMMAR = Grammar(
    split=split_pdus,
    value_at=_value_at,
    refit=_refit,
    dictionary=(
        associate_request(),
        associate_request(contexts=()),
        associate_request(contexts=((2, CR, ()), (1, "", (IMPLICIT,)), (1, CR, ("1.2",)))),
        associate_request(user_items=()),
        associate_request(calling=b"\xff\\\0"),
        associate_request(version=2),
        wire.pdu(2, bytes(68)),
        wire.pdu(3, b"\0\1\1\1"),
        RELEASE,
        wire.pdu(6, bytes(4)),
        ABORT,
        wire.pdu(9, b""),
        wire.pdu(4, b""),
        wire.pdu(4, struct.pack(">L", 2) + b"\1\3"),
        wire.pdu(4, struct.pack(">L", 0)),
        wire.pdu(4, b"", 0xFFFFFFFF),
        fragment(1, store(), is_command=True, last=True),
        fragment(1, store()[:40], is_command=True, last=False),
        fragment(1, b"", is_command=False, last=True),
        fragment(1, encoded(radiograph_dataset(), implicit_vr=True), is_command=False, last=True),
        fragment(9, store(), is_command=True, last=True),
        message(5, echo()),
        message(1, echo()),
        message(7, commitment(0x0130)),
        message(7, commitment(0x0130, 2), commitment_information()),
        message(7, commitment(0x0100, 3), commitment_information()),
        message(7, commitment(0x0100, 2), commitment_information(0, 2)),
        *(
            message(1, command((0x0002, CR.encode()), (0x0100, _us(kind)), (0x0110, _us(1)), _DATA))
            for kind in (0x0010, 0x0020, 0x0021, 0x0110, 0x0120, 0x0140, 0x0150, 0x0FFF, 0x8001, 7)
        ),
        message(1, command((0x0100, _us(1)), _DATA), b"\0" * 8),
        message(1, command((0x0100, _us(1)), (0x0110, b""), _NO_DATA)),
    ),
    values=(*INTERESTING_VALUES, store(), echo(), commitment_information()),
)
