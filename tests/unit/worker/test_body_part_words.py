"""How the words of a ledger or a folder are shown: table, JSON, doctor."""

import json
from pathlib import Path

import pytest
from pydicom import uid
from typer.testing import CliRunner

from tests.unit.dicom_node.instances import radiograph_dataset, write_instance
from worker.body_part_words import Decision, understand_counted, understand_files
from worker.cli import app
from worker.doctor.body_parts import judge_body_parts
from worker.doctor.finding import Result

CANARY = "CANARYNAME"


def write(folder: Path, number: int, body_part: str, **values: object) -> Path:
    dataset = radiograph_dataset(number)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName, dataset.BodyPartExamined = CANARY, body_part
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return write_instance(dataset, folder / f"{number}.dcm")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, 1, "HANDS")
    write(tmp_path, 2, "KÉZ", StudyDescription=f"{CANARY} chest")
    write(tmp_path, 3, "", SeriesDescription=f"Thorax {CANARY}")
    write(tmp_path, 4, "HANDS")
    write(tmp_path, 5, "HAND", StudyDescription="XR CHEST PA")
    write(tmp_path, 6, "", SOPClassUID=uid.CTImageStorage)
    (tmp_path / "readme.txt").write_text("no DICOM")
    return tmp_path


def test_all_that_the_headers_of_a_folder_say_is_read(folder: Path) -> None:
    found = understand_files(sorted(folder.iterdir()), {})

    told = {(row.word, row.radiographs, row.region, row.decision) for row in found.words}
    assert told == {
        ("HANDS", 2, "HAND", Decision.LIMB),
        ("KÉZ", 1, "CHEST", Decision.UNKNOWN),
        ("", 1, "CHEST", Decision.ELSEWHERE),
        ("HAND", 1, "HAND", Decision.BOTH),
    }
    assert found.words[0].word == "HANDS"
    assert (found.unknown, found.skipped) == (("KÉZ",), 2)


def test_the_command_shows_words_without_patient_data(folder: Path) -> None:
    for options in ([], ["--json"]):
        answer = CliRunner().invoke(app, ["body-parts", str(folder), *options])
        assert answer.exit_code == 1, "a word is unknown"
        assert "KÉZ" in answer.output.encode().decode("unicode_escape") or "KÉZ" in answer.output
        assert CANARY not in answer.output.upper()


def test_a_word_of_the_settings_is_known(folder: Path, tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text('[body_parts]\n"KÉZ" = "HAND"\n')
    answer = CliRunner().invoke(
        app, ["--config", str(settings), "body-parts", str(folder), "--json"]
    )
    assert answer.exit_code == 0
    content = json.loads(answer.stdout)
    assert {"word": "KÉZ", "radiographs": 1, "region": "HAND"}.items() <= {
        **next(row for row in content["words"] if row["word"] == "KÉZ")
    }.items()


def test_the_doctor_names_unknown_words_with_the_remedy() -> None:
    verdict = judge_body_parts(understand_counted({"HAND": 7, "KÉZ": 3, "": 2, "THORAX": 1}, {}))
    assert verdict.result is Result.WARNING
    assert "KÉZ" in verdict.found
    assert "[body_parts]" in verdict.remedy
    assert judge_body_parts(understand_counted({"HAND": 7}, {})).result is Result.OK
