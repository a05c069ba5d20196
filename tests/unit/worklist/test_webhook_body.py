"""Web hooks' bodies: as their schema says, signed, and without patient data unless asked for."""

import hashlib
import hmac
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.outcomes import Outcome
from tests.unit.worklist.flag_contents import make_flag, make_patient
from worklist.flags.webhook import SCHEMA, build_body
from worklist.signing import read_secret, signature

SCHEMA_JSON = json.loads(SCHEMA.read_text())
VALIDATOR = jsonschema_rs.Draft202012Validator(SCHEMA_JSON, validate_formats=True)


def body(**options: Any) -> dict[str, Any]:
    made = json.loads(
        build_body(make_flag(), **{"patient_data": False, "worklist_url": ""} | options)
    )
    assert isinstance(made, dict)
    return made


def test_the_schema_is_one() -> None:
    jsonschema_rs.Draft202012Validator(SCHEMA_JSON)
    assert jsonschema_rs.meta.is_valid(SCHEMA_JSON)


@pytest.mark.parametrize("outcome", [one for one in Outcome if one is not Outcome.FAILED])
@pytest.mark.parametrize("patient_data", [False, True])
def test_every_body_is_as_the_schema_says(outcome: Outcome, patient_data: bool) -> None:
    flag = make_flag(outcome=outcome, reason="why", probability=None)
    made = json.loads(
        build_body(flag, patient_data=patient_data, worklist_url="https://worklist.example/")
    )
    VALIDATOR.validate(made)
    assert set(made) <= set(SCHEMA_JSON["properties"])


def test_the_schema_refuses_what_is_no_flag() -> None:
    for wrong in ({"outcome": "URGENT"}, {"probability": 1.5}, {"findings": None}, {"notice": ""}):
        assert not VALIDATOR.is_valid(body() | wrong)


def test_findings_and_confidence_are_told_per_radiograph() -> None:
    made = body()
    assert (made["outcome"], made["word"], made["probability"]) == (
        "POSITIVE",
        "Fracture likely",
        0.912345,
    )
    words = [(one["sop_instance_uid"], one["word"]) for one in made["findings"]]
    assert words == [
        ("1.2.3.1", "Fracture likely"),
        ("1.2.3.2", "No fracture flagged"),
        ("1.2.3.3", "Not analysed"),
    ]


def test_patient_data_is_told_only_where_the_settings_say_so() -> None:
    silent = json.dumps(body())
    for told in ("Canary", "PHANTOM", "A1", "1970", "HOSPITAL"):
        assert told not in silent
    assert body(patient_data=True)["patient"] == {"accession_number": "A1", "patient_id": "PHANTOM"}
    assert "Canary" not in json.dumps(body(patient_data=True))


def test_the_id_does_not_follow_from_patient_data() -> None:
    other = make_flag(patient=make_patient(patient_id="OTHER"), accession_number="B2")
    made = json.loads(build_body(other, patient_data=False, worklist_url=""))
    assert made["id"] == body()["id"]


def test_a_link_leads_to_the_study_on_the_worklist() -> None:
    assert "worklist" not in body()
    link = body(worklist_url="https://worklist.example/")["worklist"]
    assert link == "https://worklist.example/studies/1.2.3"


@given(st.text())
def test_any_text_makes_json_that_can_be_sent(text: str) -> None:
    made = json.loads(build_body(make_flag(reason=text), patient_data=False, worklist_url=""))
    VALIDATOR.validate(made)


def test_a_receiver_verifies_the_signature_with_what_it_knows() -> None:
    secret, sent = b"0123456789abcdef", build_body(make_flag(), patient_data=False, worklist_url="")
    signed_at = datetime(2026, 5, 28, 20, 26, 40, tzinfo=UTC)
    header = dict(part.split("=", 1) for part in signature(secret, signed_at, sent).split(","))
    assert header["t"] == "1780000000"
    expected = hmac.new(secret, header["t"].encode() + b"." + sent, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(header["v1"], expected)


def test_a_secret_is_read_without_its_line_end_and_never_short(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b" 0123456789abcdef\n")
    assert read_secret(tmp_path / "secret") == b"0123456789abcdef"
    (tmp_path / "secret").write_bytes(b"short\n" + b" " * 20)
    with pytest.raises(ValueError, match="less than 16 bytes"):
        read_secret(tmp_path / "secret")
