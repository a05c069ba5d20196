"""Cases as hypothesis draws them: valid ones with a few edits, streams of messages, mere bytes."""

from collections.abc import Sequence

from hypothesis import strategies as st

from tests.fuzz import pdu_bytes
from tests.fuzz.edits import Edit, Kind, apply
from tests.fuzz.targets import KINDS

_EDITS = st.lists(
    st.builds(
        Edit,
        kind=st.sampled_from(Kind),
        place=st.integers(0, 2**16 - 1),
        number=st.integers(0, 2**32 - 1),
        payload=st.binary(min_size=1, max_size=12),
    ),
    max_size=4,
)
_ELEMENTS = (0x0000, 0x0002, 0x0003, 0x0100, 0x0110, 0x0120, 0x0600, 0x0700, 0x0800, 0x0900)
_ELEMENTS += (0x0901, 0x0902, 0x1000, 0x1001, 0x1002, 0x1005, 0x1008, 0x1030, 0x1031, 0xFFFF)


def cases(target: str, seeds: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Cases of a target, whose `seeds` are valid ones."""
    edited = st.builds(apply, st.sampled_from(seeds), _EDITS, st.just(KINDS[target].grammar))
    anything = st.binary(max_size=300)
    if target != "pdu":
        return edited | edited | edited | anything
    ended = st.builds(lambda mode, case: bytes([mode]) + case[1:], st.integers(0, 15), edited)
    return edited | ended | _conversations() | anything


def _conversations() -> st.SearchStrategy[bytes]:
    """A request and some messages: right and wrong commands, fragments in right and wrong order."""
    streams = st.lists(_messages() | st.sampled_from(pdu_bytes.GRAMMAR.dictionary), max_size=4)
    return st.builds(
        lambda mode, request, stream, end: bytes([mode]) + request + b"".join(stream) + end,
        st.integers(0, 15),
        st.just(pdu_bytes.associate_request()) | _requests(),
        streams,
        st.sampled_from((pdu_bytes.RELEASE, pdu_bytes.ABORT, b"")),
    )


def _requests() -> st.SearchStrategy[bytes]:
    context = st.tuples(
        st.integers(0, 255),
        st.sampled_from([each[1] for each in pdu_bytes.CONTEXTS])
        | st.text("0123456789.", max_size=70),
        st.lists(st.sampled_from((pdu_bytes.IMPLICIT, pdu_bytes.EXPLICIT, "1.2", ""))).map(tuple),
    )
    return st.builds(
        pdu_bytes.associate_request,
        contexts=st.lists(context, max_size=6) | st.just(pdu_bytes.CONTEXTS),
        user_items=st.lists(st.sampled_from(pdu_bytes.USER_ITEMS), max_size=6),
        calling=st.binary(max_size=16),
    )


def _messages() -> st.SearchStrategy[bytes]:
    values = st.sampled_from(pdu_bytes.COMMAND_VALUES) | st.binary(max_size=8)
    element = st.tuples(st.sampled_from(_ELEMENTS), values)
    command = st.sampled_from(pdu_bytes.COMMANDS) | st.lists(element, max_size=8).map(
        lambda elements: pdu_bytes.command(*elements)
    )
    fragment = st.builds(
        pdu_bytes.fragment,
        st.sampled_from((1, 1, 3, 5, 7, 9, 0, 2)),
        command | st.sampled_from(pdu_bytes.DATA_SETS) | st.binary(max_size=40),
        is_command=st.booleans(),
        last=st.booleans(),
    )
    whole = st.builds(
        pdu_bytes.message,
        st.sampled_from((1, 1, 3, 5, 7, 9)),
        command,
        st.sampled_from(pdu_bytes.DATA_SETS),
        pieces=st.integers(1, 5),
    )
    return whole | whole | st.lists(fragment, min_size=1, max_size=4).map(b"".join)
