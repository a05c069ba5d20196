"""`fracture-screen demo`: what a newcomer sees first."""

import json
from pathlib import Path

import cv2
import pydicom

from tests.servers.product import run_command
from worker.phantom import draw_phantom


def test_the_demo_without_a_folder_shows_synthetic_studies_all_the_way(tmp_path: Path) -> None:
    done = run_command("demo", "--out", str(tmp_path / "demo"), "--json")

    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["seconds"] > 0
    assert len(answer["studies"]) >= 3
    for study in answer["studies"]:
        assert study["outcome"] in {"POSITIVE", "DOUBTFUL", "NEGATIVE"}
        assert 0 <= study["probability"] <= 1
        results = [pydicom.dcmread(path) for path in study["results"]]
        assert sum(result.Modality == "DOC" for result in results) == 1
        assert {result.StudyInstanceUID for result in results} == {study["study_instance_uid"]}
        assert all("synthetic" in str(result.PatientName).lower() for result in results)


def test_the_demo_takes_pictures_and_says_what_it_could_not_send(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.jpg"), draw_phantom(5, fractured=True, rows=400, columns=300))
    (folder / "b.dcm").write_bytes(b"no DICOM")

    done = run_command("demo", str(folder), "--out", str(tmp_path / "demo"), "--json")

    answer = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert len(answer["studies"]) == 1
    assert "b.dcm" in answer["not_sent"][0]


def test_the_demo_never_writes_into_a_folder_in_use(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    done = run_command("demo", "--out", str(tmp_path))
    assert done.returncode == 2
    assert "not empty" in done.stderr
    assert (tmp_path / "precious").read_text() == "mine"
