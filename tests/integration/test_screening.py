"""Screening a study on disk: findings, outcome and the files it leaves."""

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pydicom
import pytest

from db.outcomes import OUTCOMES, Outcome
from dicom_node.radiograph import PixelLimits
from dicom_node.received import describe_file
from dicom_node.result_content import report_document
from models.classifier import Classifier
from tests.chosen_outcomes import LIKELY, NEGATIVE, NOW, POSSIBLE, screener_of
from tests.radiographs import make_for_processing, write_phantom
from tests.scoped_model import EdgeNetwork, bundle_that_knows_limbs, draw_limb
from tests.unit.dicom_node.instances import put_pixels, radiograph_dataset, write_instance
from tests.validators import dcentvfy_complaints, needs_dciodvfy
from training.foreign_pictures import draw_foreign
from worker.patient_identity import DIFFERENT_PATIENTS
from worker.results import Source
from worker.screening import FOREIGN, TWIN, Screener, Screening

FOLDER = "results/1"


def source_of(path: Path) -> Source:
    instance = describe_file(path, "")
    return Source(instance.sop_instance_uid, instance.sop_class_uid, instance.sha256, path)


def screen(screener: Screener, folder: Path, *paths: Path, revision: int = 1) -> Screening:
    study = describe_file(paths[0], "").study_instance_uid
    return screener.screen(
        study, [source_of(path) for path in paths], root=folder, folder=FOLDER, revision=revision
    )


def phantoms(folder: Path, count: int, **options: str) -> list[Path]:
    return [write_phantom(folder / "in", "study", n + 1, **options).path for n in range(count)]


def report_text(report: pydicom.Dataset, folder: Path) -> str:
    """Words of an encapsulated PDF, single spaces."""
    if shutil.which("pdftotext") is None:
        pytest.skip("needs poppler-utils")
    pdf = folder / "report.pdf"
    pdf.write_bytes(report_document(report))
    told = subprocess.run(["pdftotext", str(pdf), "-"], capture_output=True, check=True, text=True)
    return " ".join(told.stdout.split())


def files(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        path.name: (path.read_bytes(), path.stat().st_mtime_ns)
        for path in (folder / FOLDER).iterdir()
    }


@pytest.mark.parametrize(
    ("probabilities", "outcome", "overlays"),
    [
        ((NEGATIVE, NEGATIVE, NEGATIVE), Outcome.NEGATIVE, 0),
        ((NEGATIVE, POSSIBLE, NEGATIVE), Outcome.DOUBTFUL, 1),
        ((NEGATIVE, POSSIBLE, LIKELY), Outcome.POSITIVE, 2),
    ],
)
def test_a_study_gives_one_overlay_per_flagged_radiograph_and_one_report(
    tmp_path: Path, probabilities: tuple[float, ...], outcome: Outcome, overlays: int
) -> None:
    screening = screen(screener_of(*probabilities), tmp_path, *phantoms(tmp_path, 3))

    assert screening.verdict.outcome is outcome
    assert [finding.probability for finding in screening.findings] == pytest.approx(probabilities)
    kinds = [result.kind for result in screening.results]
    assert kinds == ["overlay"] * overlays + ["report"]
    for result in screening.results:
        dataset = pydicom.dcmread(tmp_path / result.path)
        assert dataset.SOPInstanceUID == result.sop_instance_uid
        assert dataset.StudyInstanceUID == write_phantom(tmp_path, "study").study_instance_uid
        assert (tmp_path / result.path).stat().st_size == result.size


def test_an_image_has_one_name_in_the_report_and_in_its_heatmap(tmp_path: Path) -> None:
    paths = []
    for number, side in ((4, "L"), (5, "R")):
        dataset = radiograph_dataset(number, rows=64, columns=48)
        dataset.SeriesNumber, dataset.BodyPartExamined = 2, "HAND"
        dataset.ViewPosition, dataset.ImageLaterality = "PA", side
        paths.append(write_instance(dataset, tmp_path / f"{number}.dcm"))

    screening = screen(screener_of(NEGATIVE, LIKELY), tmp_path, *paths)

    overlay, report = (pydicom.dcmread(tmp_path / one.path) for one in screening.results)
    assert ", image 2.5, hand PA right, layer " in overlay.DerivationDescription
    text = report_text(report, tmp_path)
    assert "Image 2.5, hand PA right: Fracture likely, probability" in text
    assert "Image 2.4, hand PA left" in text


def test_an_image_that_was_not_analysed_is_named_by_its_numbers_too(tmp_path: Path) -> None:
    good = write_instance(radiograph_dataset(9), tmp_path / "good.dcm")
    dataset = radiograph_dataset(1)
    dataset.SeriesNumber, dataset.InstanceNumber = 4, 7
    dataset.PixelData = dataset.PixelData[:100]
    bad = write_instance(dataset, tmp_path / "short.dcm")

    screening = screen(screener_of(NEGATIVE), tmp_path, good, bad)

    report = pydicom.dcmread(tmp_path / screening.results[-1].path)
    assert "Image 4.7" in report_text(report, tmp_path)


def test_an_overlay_refers_to_its_own_radiograph(tmp_path: Path) -> None:
    first, second = phantoms(tmp_path, 2)
    screening = screen(screener_of(NEGATIVE, LIKELY), tmp_path, first, second)
    overlay = pydicom.dcmread(tmp_path / screening.results[0].path)
    (reference,) = overlay.SourceImageSequence
    assert reference.ReferencedSOPInstanceUID == source_of(second).sop_instance_uid


@needs_dciodvfy
def test_a_later_revision_puts_what_it_adds_into_series_of_its_own(tmp_path: Path) -> None:
    paths = phantoms(tmp_path, 3)
    first = screen(screener_of(LIKELY), tmp_path, *paths[:2])
    later = screener_of(LIKELY)
    later._clock = lambda: NOW + timedelta(minutes=16)
    second = screen(later, tmp_path, *paths, revision=2)

    def placed(screening: Screening) -> list[tuple[str, str, int]]:
        found = []
        for result in screening.results:
            header = pydicom.dcmread(tmp_path / result.path, stop_before_pixels=True)
            assert result.series_instance_uid == header.SeriesInstanceUID
            found.append((result.kind, header.SeriesInstanceUID, int(header.InstanceNumber)))
        return found

    before, after = placed(first), placed(second)
    assert [(kind, number) for kind, _, number in before] == [
        ("overlay", 1),
        ("overlay", 2),
        ("report", 1),
    ]
    assert after[:2] == before[:2]  # the same heatmaps, which may have been sent
    assert [(kind, number) for kind, _, number in after[2:]] == [("overlay", 1), ("report", 1)]
    assert len({series for _, series, _ in before + after}) == 4
    written = [tmp_path / one.path for one in (*first.results, *second.results)]
    assert dcentvfy_complaints(*paths, *dict.fromkeys(written)) == []


def test_a_second_run_writes_nothing_and_changes_no_byte(tmp_path: Path) -> None:
    paths = phantoms(tmp_path, 2)
    first = screen(screener_of(LIKELY), tmp_path, *paths)
    before = files(tmp_path)

    later = screener_of(LIKELY)
    later._clock = lambda: NOW + timedelta(days=1)
    again = screen(later, tmp_path, *paths)

    assert again.results == first.results
    assert files(tmp_path) == before


def test_a_late_radiograph_gives_a_new_report_and_keeps_the_overlays(tmp_path: Path) -> None:
    paths = phantoms(tmp_path, 2)
    first = screen(screener_of(LIKELY), tmp_path, paths[0])
    second = screen(screener_of(LIKELY), tmp_path, *paths, revision=2)
    assert first.results[0] in second.results
    assert first.results[-1] not in second.results
    assert len(files(tmp_path)) == 4


def test_a_file_that_vanished_is_our_trouble_and_never_a_finding(tmp_path: Path) -> None:
    first, second = phantoms(tmp_path, 2)
    sources = [source_of(first), source_of(second)]
    second.unlink()
    with pytest.raises(FileNotFoundError):
        screener_of(NEGATIVE).screen("1.2.3", sources, root=tmp_path, folder=FOLDER)


def test_every_frame_of_a_multiframe_instance_is_a_radiograph(tmp_path: Path) -> None:
    dataset = radiograph_dataset()
    frames = np.random.default_rng(1).integers(0, 4096, (3, 32, 24), np.uint16)
    put_pixels(dataset, frames)
    path = write_instance(dataset, tmp_path / "multi.dcm")

    screening = screen(screener_of(NEGATIVE, LIKELY, POSSIBLE), tmp_path, path)

    assert [finding.frame_number for finding in screening.findings] == [1, 2, 3]
    assert len(screening.findings_by_source) == 1
    overlays = [pydicom.dcmread(tmp_path / result.path) for result in screening.results[:-1]]
    referenced = [one.SourceImageSequence[0].ReferencedFrameNumber for one in overlays]
    assert referenced == [2, 3]


def test_a_body_part_out_of_scope_is_listed_and_does_not_forbid_a_negative(
    tmp_path: Path,
) -> None:
    hand = write_phantom(tmp_path / "in", "study", 1).path
    chest = write_phantom(tmp_path / "in", "study", 2, body_part_examined="CHEST").path

    screening = screen(screener_of(NEGATIVE), tmp_path, hand, chest)

    assert screening.verdict.outcome is Outcome.NEGATIVE
    (reason,) = [finding.reason for finding in screening.findings if not finding.analysed]
    assert reason == "body part outside the model's scope: CHEST"


@pytest.mark.parametrize("word", ["HANDS", "UNTERARM", "KÉZ"])
def test_a_fractured_hand_under_another_word_beside_a_normal_one_is_flagged(
    tmp_path: Path, word: str
) -> None:
    normal = write_phantom(tmp_path / "in", "study", 1).path
    fractured = changed(write_phantom(tmp_path / "in", "study", 2).path, BodyPartExamined=word)

    screener = screener_of(NEGATIVE, LIKELY, body_parts={"HAND", "FOREARM"})
    screening = screen(screener, tmp_path, normal, fractured)

    assert screening.verdict.outcome is Outcome.POSITIVE


UNREAD = {
    "colour": {"PhotometricInterpretation": "PALETTE COLOR"},
    "no pixels": {"PixelData": None},
    "too large": {"Rows": 9000},
    "undecodable": {"PixelData": b"1234"},
    "another limb": {"BodyPartExamined": "FOOT", "AnatomicRegionSequence": None},
}


@pytest.mark.parametrize("case", UNREAD)
def test_a_radiograph_that_could_not_be_analysed_forbids_a_negative(
    tmp_path: Path, case: str
) -> None:
    normal = write_phantom(tmp_path / "in", "study", 1).path
    other = changed(write_phantom(tmp_path / "in", "study", 2).path, **UNREAD[case])

    screening = screen(screener_of(NEGATIVE), tmp_path, normal, other)

    assert screening.verdict.outcome is Outcome.INCOMPLETE


@pytest.mark.parametrize("case", ["colour", "no pixels", "too large", "undecodable"])
def test_one_that_surely_shows_something_else_forbids_nothing(tmp_path: Path, case: str) -> None:
    normal = write_phantom(tmp_path / "in", "study", 1).path
    chest = write_phantom(tmp_path / "in", "study", 2, body_part_examined="CHEST").path

    screening = screen(screener_of(NEGATIVE), tmp_path, normal, changed(chest, **UNREAD[case]))

    assert screening.verdict.outcome is Outcome.NEGATIVE


def test_an_image_for_processing_is_left_out_where_its_twin_was_analysed(tmp_path: Path) -> None:
    unprocessed, presented = phantoms(tmp_path, 2)
    make_for_processing(unprocessed)

    screening = screen(screener_of(POSSIBLE), tmp_path, unprocessed, presented)

    (left_out,), (seen,) = screening.findings_by_source
    assert (left_out.analysed, left_out.reason) == (False, TWIN)
    assert (seen.analysed, seen.sop_instance_uid) == (True, presented.stem)
    assert [result.kind for result in screening.results] == ["overlay", "report"]
    assert TWIN in report_text(pydicom.dcmread(tmp_path / screening.results[-1].path), tmp_path)


def test_a_twin_that_was_left_out_forbids_no_negative(tmp_path: Path) -> None:
    unprocessed, presented = phantoms(tmp_path, 2)
    make_for_processing(unprocessed)
    screening = screen(screener_of(NEGATIVE), tmp_path, unprocessed, presented)
    assert screening.verdict.outcome is Outcome.NEGATIVE


@pytest.mark.parametrize("case", UNREAD)
def test_an_image_for_processing_is_analysed_where_its_twin_could_not_be(
    tmp_path: Path, case: str
) -> None:
    unprocessed, presented = phantoms(tmp_path, 2)
    make_for_processing(unprocessed)

    screening = screen(
        screener_of(LIKELY), tmp_path, unprocessed, changed(presented, **UNREAD[case])
    )

    assert screening.verdict.outcome is Outcome.POSITIVE


def test_images_for_processing_of_other_exposures_are_analysed(tmp_path: Path) -> None:
    unprocessed, presented = phantoms(tmp_path, 2)
    make_for_processing(changed(unprocessed, AcquisitionTime="050708"))
    screening = screen(screener_of(LIKELY, NEGATIVE), tmp_path, unprocessed, presented)
    found = [finding.probability for finding in screening.findings]
    assert found == pytest.approx([LIKELY, NEGATIVE])


def test_a_contradiction_of_the_header_is_noted_on_the_finding(tmp_path: Path) -> None:
    hand = changed(write_phantom(tmp_path / "in", "study", 1).path, StudyDescription="XR CHEST PA")

    (finding,) = screen(screener_of(LIKELY), tmp_path, hand).findings

    assert finding.analysed
    assert "Body Part Examined says HAND, Study Description says CHEST" in finding.reason


def changed(path: Path, **values: object) -> Path:
    """The same file with other attributes; None removes one."""
    dataset = pydicom.dcmread(path)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    for keyword, value in values.items():
        if value is None:
            del dataset[keyword]
        else:
            setattr(dataset, keyword, value)
    dataset.save_as(path)
    return path


def test_nothing_in_scope_is_not_analysed_and_reported_all_the_same(tmp_path: Path) -> None:
    chest = phantoms(tmp_path, 1, body_part_examined="CHEST")
    screening = screen(screener_of(LIKELY), tmp_path, *chest)
    assert screening.verdict.outcome is Outcome.NOT_ANALYSED
    assert "CHEST" in screening.verdict.reason
    assert [result.kind for result in screening.results] == ["report"]


def knows_limbs(*, logit: float = -3.0, reject_outside_scope: bool = True) -> Screener:
    return Screener(
        Classifier(bundle_that_knows_limbs(), EdgeNetwork(logit)),
        PixelLimits(),
        lambda: NOW,
        reject_outside_scope=reject_outside_scope,
    )


def picture_instance(folder: Path, number: int, *frames: np.ndarray) -> Path:
    """A CR instance that states no body part."""
    dataset = radiograph_dataset(number)
    dataset.BodyPartExamined = ""
    stored = [np.rint(4095 * np.asarray(frame, float)).astype(np.uint16) for frame in frames]
    put_pixels(dataset, stored[0] if len(stored) == 1 else np.stack(stored))
    return write_instance(dataset, folder / f"picture-{number}.dcm")


@pytest.mark.parametrize("kind", ["white noise", "checkerboard", "text page"])
def test_a_picture_of_another_kind_is_not_analysed_and_says_why(tmp_path: Path, kind: str) -> None:
    foreign = picture_instance(tmp_path, 1, draw_foreign(kind, 1, seed=0))

    screening = screen(knows_limbs(logit=9.0), tmp_path, foreign)

    assert screening.verdict.outcome is Outcome.NOT_ANALYSED
    assert "outside the model's scope" in screening.verdict.reason
    (finding,) = screening.findings
    assert (finding.analysed, finding.reason, finding.probability) == (False, FOREIGN, None)
    assert [result.kind for result in screening.results] == ["report"]


def test_a_picture_of_another_kind_beside_a_negative_radiograph_forbids_a_negative(
    tmp_path: Path,
) -> None:
    known = picture_instance(tmp_path, 1, draw_limb(1000))
    foreign = picture_instance(tmp_path, 2, draw_foreign("white noise", 1, seed=0))

    alone = screen(knows_limbs(), tmp_path / "alone", known)
    both = screen(knows_limbs(), tmp_path / "both", known, foreign)

    assert alone.verdict.outcome is Outcome.NEGATIVE
    assert both.verdict.outcome is Outcome.INCOMPLETE
    assert "1 of 2 radiographs could not be analysed" in both.verdict.reason


def test_a_frame_of_another_kind_costs_the_other_frames_nothing(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).random((96, 72))
    path = picture_instance(tmp_path, 1, draw_limb(1000), noise, draw_limb(1001))

    screening = screen(knows_limbs(logit=9.0), tmp_path, path)

    assert screening.verdict.outcome is Outcome.POSITIVE
    assert [finding.frame_number for finding in screening.findings] == [1, 2, 3]
    assert [finding.reason for finding in screening.findings] == ["", FOREIGN, ""]
    overlays = [pydicom.dcmread(tmp_path / result.path) for result in screening.results[:-1]]
    frames = [one.SourceImageSequence[0].ReferencedFrameNumber for one in overlays]
    assert frames == [1, 3]
    report = pydicom.dcmread(tmp_path / screening.results[-1].path)
    assert len(report.SourceInstanceSequence) == 1


def test_the_scope_can_be_set_aside_and_then_gives_results_of_their_own(tmp_path: Path) -> None:
    foreign = picture_instance(tmp_path, 1, draw_foreign("white noise", 1, seed=0))
    rejecting = screen(knows_limbs(), tmp_path, foreign)
    analysing = screen(knows_limbs(reject_outside_scope=False), tmp_path, foreign)
    assert rejecting.verdict.outcome is Outcome.NOT_ANALYSED
    assert analysing.verdict.outcome is Outcome.NEGATIVE
    assert len({one.results[-1].sop_instance_uid for one in (rejecting, analysing)}) == 2


def undecodable(folder: Path) -> Path:
    dataset = radiograph_dataset(1)
    dataset.PixelData = dataset.PixelData[:100]
    return write_instance(dataset, folder / "short.dcm")


def too_large(folder: Path) -> Path:
    dataset = radiograph_dataset(3, rows=600, columns=400)
    return write_instance(dataset, folder / "large.dcm")


@pytest.mark.parametrize("unreadable", [undecodable, too_large])
def test_an_unread_radiograph_beside_a_negative_one_gives_incomplete(
    tmp_path: Path, unreadable: Callable[[Path], Path]
) -> None:
    good = write_instance(radiograph_dataset(9), tmp_path / "good.dcm")
    screener = screener_of(NEGATIVE, limits=PixelLimits(max_rows=500))

    screening = screen(screener, tmp_path, good, unreadable(tmp_path))

    assert screening.verdict.outcome is Outcome.INCOMPLETE
    assert "1 of 2 radiographs could not be analysed" in screening.verdict.reason
    assert [result.kind for result in screening.results] == ["report"]


def test_two_of_three_radiographs_without_a_flag_are_reported_as_incomplete(
    tmp_path: Path,
) -> None:
    good = [write_instance(radiograph_dataset(n), tmp_path / f"{n}.dcm") for n in (8, 9)]
    screener = screener_of(NEGATIVE, NEGATIVE)

    screening = screen(screener, tmp_path, *good, undecodable(tmp_path))

    assert screening.verdict.outcome is Outcome.INCOMPLETE
    assert OUTCOMES[screening.verdict.outcome].hl7_abnormal == ""
    (report,) = screening.results
    text = report_text(pydicom.dcmread(tmp_path / report.path), tmp_path)
    assert "Not every radiograph of this study was analysed. Nothing is flagged" in text
    assert "1 of 3 radiographs could not be analysed" in text
    assert "Analysed: 2 of 3 images." in text
    assert "No radiograph of this study" not in text


def test_a_radiograph_whose_file_is_damaged_on_disk_forbids_a_negative(tmp_path: Path) -> None:
    good, bad = phantoms(tmp_path, 2)
    sources = [source_of(good), source_of(bad)]
    bad.write_bytes(b"no DICOM any more")

    screening = screener_of(NEGATIVE).screen("1.2.3", sources, root=tmp_path, folder=FOLDER)

    assert screening.verdict.outcome is Outcome.INCOMPLETE
    assert screening.findings[1].reason.startswith("cannot be read")


def test_a_damaged_file_of_another_class_does_not_forbid_a_negative(tmp_path: Path) -> None:
    good, bad = phantoms(tmp_path, 2)
    other = replace(source_of(bad), sop_class_uid="1.2.840.10008.5.1.4.1.1.2")
    bad.write_bytes(b"no DICOM any more")

    screening = screener_of(NEGATIVE).screen(
        "1.2.3", [source_of(good), other], root=tmp_path, folder=FOLDER
    )

    assert screening.verdict.outcome is Outcome.NEGATIVE


def test_an_unread_radiograph_takes_nothing_from_a_positive(tmp_path: Path) -> None:
    good = write_instance(radiograph_dataset(9), tmp_path / "good.dcm")
    screening = screen(screener_of(LIKELY), tmp_path, good, undecodable(tmp_path))
    assert screening.verdict.outcome is Outcome.POSITIVE
    assert [result.kind for result in screening.results] == ["overlay", "report"]


def test_the_reasons_hold_no_patient_data(tmp_path: Path) -> None:
    path = undecodable(tmp_path)
    screening = screen(screener_of(NEGATIVE), tmp_path, path)
    assert "Phantom" not in str(screening.findings)
    assert "PHANTOM" not in str(screening.findings)


def test_our_own_results_in_a_study_are_listed_and_not_analysed(tmp_path: Path) -> None:
    (path,) = phantoms(tmp_path, 1)
    first = screen(screener_of(LIKELY), tmp_path, path)
    own = tmp_path / first.results[0].path

    again = screen(screener_of(LIKELY), tmp_path, path, own)

    assert again.findings[1].reason == "one of our own results"
    assert again.verdict == first.verdict


def test_a_blank_radiograph_is_never_negative(tmp_path: Path) -> None:
    dataset = radiograph_dataset()
    put_pixels(dataset, np.full((64, 48), 700, np.uint16))
    blank = write_instance(dataset, tmp_path / "blank.dcm")
    screening = screen(screener_of(NEGATIVE), tmp_path, blank)
    assert screening.verdict.outcome is Outcome.NOT_ANALYSED
    assert "blank" in screening.verdict.reason


def test_instances_of_different_patients_leave_no_file(tmp_path: Path) -> None:
    first, second = radiograph_dataset(1), radiograph_dataset(2)
    second.PatientID = "ANOTHER"
    paths = [
        write_instance(first, tmp_path / "first.dcm"),
        write_instance(second, tmp_path / "second.dcm"),
    ]

    screening = screen(screener_of(LIKELY), tmp_path, *paths)

    assert screening.verdict.outcome is Outcome.NOT_ANALYSED
    assert screening.verdict.reason == DIFFERENT_PATIENTS
    assert [finding.reason for finding in screening.findings] == [DIFFERENT_PATIENTS] * 2
    assert [patient.patient_id for patient in screening.patients] == ["PHANTOM", "ANOTHER"]
    assert screening.results == ()
    assert not (tmp_path / FOLDER).exists()
