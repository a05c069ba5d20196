"""A few hundred drawn cases per target, the same each time; `make fuzz` runs many, and new ones."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dicom_node.data_set_scan import DataSetUids
from dicom_node.radiograph import Radiograph
from tests.fuzz import pdu_bytes
from tests.fuzz.commitment_target import CommitmentTarget
from tests.fuzz.decode_target import DecodeTarget
from tests.fuzz.edits import Grammar
from tests.fuzz.finding import Finding
from tests.fuzz.object_target import EXPLICIT, ObjectTarget
from tests.fuzz.pdu_target import PduTarget
from tests.fuzz.strategies import cases
from tests.fuzz.targets import KINDS


@pytest.mark.parametrize(
    ("name", "examples"), [("pdu", 60), ("object", 300), ("decode", 300), ("commitment", 300)]
)
def test_no_drawn_case_breaks_a_contract(tmp_path: Path, name: str, examples: int) -> None:
    target = KINDS[name].open(tmp_path)

    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(cases(name, KINDS[name].seeds(tmp_path)))
    def every_case(case: bytes) -> None:
        target.run(case)

    try:
        every_case()
        target.check()
    finally:
        target.close()


@given(st.binary(max_size=300))
def test_pieces_joined_are_the_case_again(data: bytes) -> None:
    grammars: list[Grammar] = [kind.grammar for kind in KINDS.values()]
    for grammar in grammars:
        assert b"".join(grammar.split(data)) == data


def test_valid_streams_are_answered_as_they_should_be(tmp_path: Path) -> None:
    target = PduTarget(tmp_path, answer_s=10)
    try:
        stored = [
            pdu_bytes.stored_uids(target.converse(0, stream)) for stream in pdu_bytes.streams()
        ]
    finally:
        target.close()

    assert stored[2] == [pdu_bytes.INSTANCE_UID]


def test_an_acknowledgement_without_registration_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dicom_node.receiver.Receiver._register", lambda self, instance: 0)
    target = PduTarget(tmp_path, answer_s=10)
    try:
        with pytest.raises(Finding, match="nobody registered"):
            target.run(b"\0" + pdu_bytes.streams()[2])
    finally:
        target.close()


def test_a_data_set_that_may_be_cut_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (seed, *_) = KINDS["object"].seeds(tmp_path)
    monkeypatch.setattr(
        "tests.fuzz.object_target.identify",
        lambda encoded, *, implicit_vr: (DataSetUids("1.2", "1.3", "1.4", "1.5"), 0),
    )

    with pytest.raises(Finding, match="cut after"):
        ObjectTarget(tmp_path).run(EXPLICIT + seed[1:])


def test_pixels_that_are_no_numbers_are_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **limits: object) -> list[Radiograph]:
        return [Radiograph(np.full((2, 2), np.nan, np.float32), "1.2", 1, "", "", "", None, None)]  # type: ignore[arg-type]

    monkeypatch.setattr("tests.fuzz.decode_target.read_radiographs", broken)
    target = DecodeTarget(tmp_path)
    try:
        with pytest.raises(Finding, match="no numbers"):
            target.run(b"\0anything")
    finally:
        target.close()


def test_a_status_out_of_the_table_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "tests.fuzz.commitment_target.answer_action", lambda event, provider: (0x0111, None)
    )

    with pytest.raises(Finding, match="0x0111"):
        CommitmentTarget(tmp_path).run(b"\4anything")


def test_the_seeds_are_valid(tmp_path: Path) -> None:
    decode = DecodeTarget(tmp_path)
    try:
        for case in KINDS["decode"].seeds(tmp_path):
            assert decode.read(case), "no radiograph"
    finally:
        decode.close()
    for case in KINDS["object"].seeds(tmp_path):
        assert ObjectTarget(tmp_path).accepts(case)
