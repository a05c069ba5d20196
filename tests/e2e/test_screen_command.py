"""`fracture-screen screen` as its users run it."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest

from tests.paths import needs_shared_data
from tests.radiographs import FRACATLAS, ODDITIES, WG04, write_phantom
from tests.servers.product import run_command
from worker.phantom import draw_phantom


def read_rows(out: Path) -> list[dict[str, str]]:
    with (out / "results.csv").open(newline="") as table:
        return list(csv.DictReader(table))


def test_every_file_of_a_folder_gets_a_row_and_one_bad_file_never_stops_the_rest(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "in"
    phantom = write_phantom(folder / "deep" / "er", "screened")
    cv2.imwrite(str(folder / "hand.png"), draw_phantom(3, fractured=True, rows=300, columns=200))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    (folder / "truncated.dcm").write_bytes(phantom.path.read_bytes()[:-1000])
    (folder / "notes.txt").write_text("no radiograph")

    done = run_command("screen", str(folder), "--out", str(tmp_path / "out"), "--json")

    assert done.returncode == 0, done.stderr
    rows = {Path(row["path"]).name: row for row in read_rows(tmp_path / "out")}
    assert len(rows) == 5
    assert rows["hand.png"]["outcome"] in {"POSITIVE", "DOUBTFUL", "NEGATIVE"}
    assert 0 <= int(rows["hand.png"]["peak_row"]) < 300
    assert 0 <= int(rows["hand.png"]["peak_column"]) < 200
    assert rows[phantom.path.name]["study_instance_uid"] == phantom.study_instance_uid
    for name in ("broken.jpg", "truncated.dcm", "notes.txt"):
        assert rows[name]["outcome"] == ("SKIPPED" if name == "notes.txt" else "FAILED")
        assert rows[name]["reason"]
        assert rows[name]["probability"] == ""
    outcomes = json.loads(done.stdout)["outcomes"]
    assert (outcomes["FAILED"], outcomes["SKIPPED"]) == (2, 1)


def test_result_objects_are_written_per_study_and_no_objects_writes_the_table_alone(
    tmp_path: Path,
) -> None:
    phantom = write_phantom(tmp_path / "in", "objects")
    out, table_only = tmp_path / "out", tmp_path / "table"

    assert run_command("screen", str(phantom.path), "--out", str(out)).returncode == 0
    done = run_command("screen", str(phantom.path), "--out", str(table_only), "--no-objects")

    assert done.returncode == 0
    assert {row["results"] for row in read_rows(table_only)} == {""}
    written = [pydicom.dcmread(path) for path in out.rglob("*.dcm")]
    assert "DOC" in {dataset.Modality for dataset in written}
    assert {dataset.StudyInstanceUID for dataset in written} == {phantom.study_instance_uid}
    assert [path.name for path in table_only.rglob("*")] == ["results.csv"]
    assert [{**row, "results": ""} for row in read_rows(out)] == read_rows(table_only)


def test_pictures_for_people_without_a_viewer_lie_beside_the_objects(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    for name in ("left/the hand.png", "right/the hand.png"):
        (folder / name).parent.mkdir(parents=True)
        seed = 1 if name.startswith("left") else 3
        cv2.imwrite(str(folder / name), draw_phantom(seed, fractured=True, rows=300, columns=200))

    done = run_command("screen", str(folder), "--out", str(out))

    assert done.returncode == 0, done.stderr
    left, right = read_rows(out)
    assert {left["outcome"], right["outcome"]} <= {"POSITIVE", "DOUBTFUL"}
    for row, number in ((left, ""), (right, "-2")):
        heatmap, png, report, pdf = row["results"].split()
        assert (png, pdf) == (f"the_hand-heatmap{number}.png", f"the_hand-report{number}.pdf")
        pixels = cv2.imread(str(out / png))
        assert pixels is not None
        assert np.array_equal(pixels[..., ::-1], pydicom.dcmread(out / heatmap).pixel_array)
        stored = pydicom.dcmread(out / report)
        assert (out / pdf).read_bytes() == stored.EncapsulatedDocument[
            : stored.EncapsulatedDocumentLength
        ]
    listed = {name for row in (left, right) for name in row["results"].split()}
    written = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert written == listed | {"results.csv"}
    for row in (left, right):
        assert f"{row['path']}  {row['outcome']}" in done.stdout


def test_no_pictures_writes_objects_alone_and_our_own_pictures_are_not_screened(
    tmp_path: Path,
) -> None:
    phantom = write_phantom(tmp_path / "in", "pictures")
    one, two, three = (tmp_path / name for name in ("one", "two", "three"))
    assert run_command("screen", str(phantom.path), "--out", str(one)).returncode == 0
    pngs = sorted(one.glob("*.png"))
    assert pngs
    done = run_command("screen", str(phantom.path), "--out", str(two), "--no-pictures")
    assert done.returncode == 0
    assert {path.suffix for path in two.rglob("*") if path.is_file()} == {".csv", ".dcm"}

    done = run_command("screen", *map(str, pngs), "--out", str(three))

    assert done.returncode == 1
    assert {row["outcome"] for row in read_rows(three)} == {"FAILED"}
    assert all("heatmap made by this program" in row["reason"] for row in read_rows(three))


def test_results_are_replaced_only_when_asked_and_nothing_else_is(tmp_path: Path) -> None:
    first, second = (write_phantom(tmp_path / "in", study) for study in ("first", "second"))
    out = tmp_path / "in" / "out"
    assert run_command("screen", str(first.path), "--out", str(out)).returncode == 0
    (out / "notes.txt").write_text("mine")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}

    refused = run_command("screen", str(second.path), "--out", str(out))
    assert refused.returncode == 2
    assert "--overwrite" in refused.stderr
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before

    done = run_command("screen", str(tmp_path / "in"), "--out", str(out), "--overwrite")
    assert done.returncode == 0, done.stderr
    rows = read_rows(out)
    assert {row["path"] for row in rows} == {str(first.path), str(second.path)}
    listed = {name for row in rows for name in row["results"].split()}
    written = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert written == listed | {"results.csv", "notes.txt"}


def test_replacing_removes_no_file_outside_of_the_folder(tmp_path: Path) -> None:
    phantom = write_phantom(tmp_path / "in", "outside")
    out = tmp_path / "out"
    out.mkdir()
    (out / "results.csv").write_text(f"path,results\na,../in/{phantom.path.name} {phantom.path}\n")
    done = run_command("screen", str(phantom.path), "--out", str(out), "--overwrite")
    assert done.returncode == 0, done.stderr
    assert phantom.path.is_file()


def test_a_file_as_out_is_refused_by_name(tmp_path: Path) -> None:
    phantom = write_phantom(tmp_path / "in", "file as out")
    done = run_command("screen", str(phantom.path), "--out", str(phantom.path))
    assert done.returncode == 2
    assert "is a file: name a folder" in done.stderr


def test_the_exit_code_tells_that_every_file_failed_and_the_terminal_is_quiet(
    tmp_path: Path,
) -> None:
    broken = tmp_path / "broken.dcm"
    broken.write_text("no radiograph")
    done = run_command("screen", str(broken), "--out", str(tmp_path / "out"))
    assert done.returncode == 1
    (progress,) = done.stderr.splitlines()
    assert progress.startswith("screening")
    assert done.stdout.startswith(f"{broken}  FAILED")


def test_screening_twice_gives_the_same_uids(tmp_path: Path) -> None:
    phantom = write_phantom(tmp_path / "in", "twice")
    names = []
    for out in (tmp_path / "first", tmp_path / "second"):
        assert run_command("screen", str(phantom.path), "--out", str(out)).returncode == 0
        names.append(sorted(path.name for path in out.rglob("*.dcm")))
    assert names[0] == names[1]
    assert names[0]


def test_our_own_results_are_not_screened_again(tmp_path: Path) -> None:
    phantom = write_phantom(tmp_path / "in", "own")
    assert run_command("screen", str(phantom.path), "--out", str(tmp_path / "one")).returncode == 0
    results = tmp_path / "one" / phantom.study_instance_uid

    assert run_command("screen", str(results), "--out", str(tmp_path / "two")).returncode == 0

    rows = read_rows(tmp_path / "two")
    assert rows
    assert {row["outcome"] for row in rows} == {"NOT_ANALYSED"}
    assert all("own result" in row["reason"] for row in rows)


@pytest.mark.parametrize("arguments", [["missing"], ["."]])
def test_without_any_file_the_error_says_where_was_looked(
    tmp_path: Path, arguments: list[str]
) -> None:
    done = run_command(
        "screen", *(str(tmp_path / one) for one in arguments), "--out", str(tmp_path / "out")
    )
    assert done.returncode == 2
    assert str(tmp_path) in done.stderr
    assert "Traceback" not in done.stderr


@needs_shared_data
def test_real_radiographs_of_every_encoding_are_analysed(tmp_path: Path) -> None:
    picture = FRACATLAS / "images" / "IMG0000019.jpg"
    done = run_command(
        "screen", str(WG04), str(picture), "--out", str(tmp_path / "out"), "--no-objects"
    )
    assert done.returncode == 0, done.stderr
    rows = {Path(row["path"]).name: row for row in read_rows(tmp_path / "out")}
    malformed = {"RG2_JPLY.dcm", "RG3_JPLY.dcm"}
    assert {name for name, row in rows.items() if not row["probability"]} == malformed
    assert all("cannot be decoded" in rows[name]["reason"] for name in malformed)
    lossless = {f"RG3_{encoding}.dcm" for encoding in ("UNC", "RLE", "JPLL", "JLSL", "J2KR")}
    assert len({rows[name]["probability"] for name in lossless}) == 1


@needs_shared_data
def test_no_oddity_crashes_and_none_is_dropped(tmp_path: Path) -> None:
    done = run_command("screen", str(ODDITIES), "--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    rows = read_rows(tmp_path / "out")
    assert {Path(row["path"]).name for row in rows} == {path.name for path in ODDITIES.iterdir()}
    assert all(row["reason"] or row["probability"] for row in rows)
