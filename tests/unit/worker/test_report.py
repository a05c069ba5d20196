"""The PDF report, read back with Poppler."""

import shutil
import subprocess
import unicodedata
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from db.outcomes import Grade, Outcome
from worker.overlay import OverlayCaption, render_overlay, render_radiograph
from worker.report.document import render_report
from worker.report.parts import ReportContent, ReportHeader, ReportImage, ReportModel

needs_poppler = pytest.mark.skipif(shutil.which("pdftotext") is None, reason="needs poppler-utils")

HEADER = ReportHeader(
    patient_name="Doe, Jane",
    patient_id="PID-4711",
    patient_birth_date="1970-01-31",
    patient_sex="F",
    accession_number="ACC-9",
    study_date="2025-03-01",
    study_description="Left hand, two views",
    referring_physician_name="Dr. Roe",
    institution_name="Example Hospital",
    study_instance_uid="1.2.826.0.1.3680043.8.498.1",
)
MODEL = ReportModel(
    name="hand-map",
    version="1.2.0",
    digest="ab" * 32,
    sensitive_threshold=0.1,
    specific_threshold=0.6,
    summary=("Area under the curve 0.91.", "Not validated for the spine."),
)


def image(number: int, probability: float | None = 0.02, grade: Grade = Grade.BELOW) -> ReportImage:
    pixels = np.full((64, 48), 0.4, np.float32)
    overlay = None
    if grade and probability is not None:
        caption = OverlayCaption("hand-map", "1.2.0", grade, probability)
        overlay = render_overlay(pixels, np.ones((2, 2), np.float32), caption)
    return ReportImage(
        label=f"Image 1.{number}",
        place="hand PA left",
        body_part_examined="HAND",
        laterality="L",
        view_position="PA",
        probability=probability,
        grade=grade,
        reason="" if probability is not None else "not a CR or DX image",
        picture=None if probability is None else render_radiograph(pixels),
        overlay=overlay,
    )


def content(
    outcome: Outcome = Outcome.NEGATIVE, *images: ReportImage, **changes: Any
) -> ReportContent:
    plain = ReportContent(
        header=HEADER,
        outcome=outcome,
        images=images or (image(1),),
        model=MODEL,
        revision=1,
        generated_at=datetime(2025, 3, 1, 12, 30, tzinfo=UTC),
    )
    return replace(plain, **changes)


def poppler(tool: str, pdf: bytes, folder: Path, *arguments: str) -> str:
    path = folder / "report.pdf"
    path.write_bytes(pdf)
    tail = ["-"] if tool == "pdftotext" else []
    command = [tool, *arguments, str(path), *tail]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def words(pdf: bytes, folder: Path) -> str:
    text = poppler("pdftotext", pdf, folder, "-layout")
    return " ".join(unicodedata.normalize("NFKC", text).split())


@needs_poppler
@pytest.mark.parametrize(
    ("outcome", "images", "expected"),
    [
        (Outcome.POSITIVE, (image(1, 0.9, Grade.LIKELY),), "Fracture likely"),
        (Outcome.DOUBTFUL, (image(1, 0.3, Grade.POSSIBLE),), "Fracture possible"),
        (
            Outcome.NEGATIVE,
            (image(1),),
            "below both operating points. This does not exclude a fracture.",
        ),
        (Outcome.NOT_ANALYSED, (image(1, None),), "Image 1.1, hand PA left: not a CR or DX image"),
        (Outcome.FAILED, (), "The analysis did not finish"),
        (
            Outcome.INCOMPLETE,
            (image(1), image(2, None)),
            "Not every radiograph of this study was analysed",
        ),
    ],
)
def test_each_outcome_is_said_in_words(
    outcome: Outcome, images: tuple[ReportImage, ...], expected: str, tmp_path: Path
) -> None:
    text = words(render_report(content(outcome, images=images)), tmp_path)
    assert expected in text
    for stated in ("Doe, Jane", "PID-4711", "ACC-9", "hand-map, version 1.2.0", "ab" * 32):
        assert stated in text
    assert "Not validated for the spine." in text


@needs_poppler
def test_the_callers_headline_and_reason_stand_beside_the_fixed_statement(tmp_path: Path) -> None:
    pdf = render_report(content(headline="Nothing flagged", reason="Two views.", revision=3))
    text = words(pdf, tmp_path)
    assert "Nothing flagged" in text
    assert "Two views." in text
    assert "does not exclude a fracture" in text
    assert "Revision 3, supersedes revision 2" in text


@needs_poppler
def test_two_hundred_images_paginate_with_warning_patient_and_number_on_each_page(
    tmp_path: Path,
) -> None:
    images = [image(n, None) if n % 9 else image(n, 0.3, Grade.POSSIBLE) for n in range(1, 201)]
    pdf = render_report(content(Outcome.DOUBTFUL, *images))
    pages = poppler("pdftotext", pdf, tmp_path, "-layout").split("\f")[:-1]
    assert len(pages) > 5
    for number, page in enumerate(pages, start=1):
        assert "AI result, not for primary diagnosis. Research use only" in page
        assert "Research use only, not a medical device." in page
        assert "Study 1.2.826.0.1.3680043.8.498.1" in page
        assert f"Page {number} of {len(pages)}" in page
        assert "Doe, Jane" in page
        assert "PID-4711" in page
    assert all(f"Image 1.{n}" in "".join(pages) for n in range(1, 201))


@needs_poppler
@pytest.mark.parametrize(
    "name",
    [
        "Διονυσίου, Άννα",
        "Люксембург, Роза",
        "Nguyễn, Thị",
        "山田, 太郎",
        "やまだ, たろう",
        "王, 小东",
    ],
)
def test_a_name_in_another_script_can_be_read_back(name: str, tmp_path: Path) -> None:
    pdf = render_report(content(header=replace(HEADER, patient_name=name)))
    assert unicodedata.normalize("NFKC", name) in words(pdf, tmp_path)


@needs_poppler
@pytest.mark.parametrize("name", ["قباني", "שרון"])
def test_a_right_to_left_name_is_set_in_reading_order(name: str, tmp_path: Path) -> None:
    text = words(render_report(content(header=replace(HEADER, patient_name=name))), tmp_path)
    assert name in text
    assert "□" not in text


@needs_poppler
def test_a_character_without_a_glyph_is_shown_as_a_box_and_explained(tmp_path: Path) -> None:
    header = replace(HEADER, patient_name="Somchai / สมชาย")
    text = words(render_report(content(header=header)), tmp_path)
    assert "Somchai / □□□□□" in text
    assert "□ stands for a character that this report's fonts do not have." in text


@needs_poppler
def test_every_font_is_embedded(tmp_path: Path) -> None:
    pdf = render_report(content(header=replace(HEADER, patient_name="Doe / 山田 / قباني")))
    fonts = poppler("pdffonts", pdf, tmp_path).splitlines()[2:]
    assert len(fonts) >= 3
    assert all(line.split()[-5] == "yes" for line in fonts), fonts


@needs_poppler
@pytest.mark.parametrize(
    "name",
    [
        "A<B & C>D",
        "<img src='/etc/hostname' width='10' height='10'/>",
        "</para><font name='none'>&bogus;",
        "<a href='file:///etc/passwd'>x</a>",
        "W" * 64,
    ],
)
def test_markup_in_a_name_is_text_like_any_other(name: str, tmp_path: Path) -> None:
    header = replace(HEADER, patient_name=name, study_description=name)
    pdf = render_report(content(header=header, images=(replace(image(1), picture=None),)))
    text = poppler("pdftotext", pdf, tmp_path, "-raw")
    assert "".join(name.split()) in "".join(text.split())
    assert len(poppler("pdfimages", pdf, tmp_path, "-list").splitlines()) == 2
    assert b"/URI" not in pdf
    assert b"/Annot" not in pdf


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=64))
def test_no_text_whatever_stops_the_report(text: str) -> None:
    header = replace(HEADER, patient_name=text, institution_name=text)
    odd = replace(image(1, None), label=text, reason=text or "x", body_part_examined=text)
    assert render_report(content(Outcome.NOT_ANALYSED, odd, header=header)).startswith(b"%PDF")


@pytest.mark.parametrize("letter", ["W", "W ", "山", "ق", "□"])
def test_texts_far_beyond_what_dicom_allows_are_cut(letter: str) -> None:
    text = letter * 20_000
    header = ReportHeader(**dict.fromkeys(ReportHeader.__slots__, text))
    flagged = image(1, 0.9, Grade.LIKELY)
    odd = {"label": text, "body_part_examined": text, "laterality": text, "place": text}
    study = content(Outcome.POSITIVE, replace(flagged, **odd), header=header, reason=text)
    assert render_report(study).startswith(b"%PDF")


def test_control_characters_and_lone_surrogates_vanish() -> None:
    header = replace(HEADER, patient_name="Doe\x00\x1b[31m\ud800\u202e, Jane")
    assert render_report(content(header=header)).startswith(b"%PDF")


def test_the_same_content_gives_the_same_bytes() -> None:
    study = content(Outcome.POSITIVE, image(1, 0.9, Grade.LIKELY), image(2))
    assert render_report(study) == render_report(study)


@needs_poppler
def test_the_metadata_name_no_patient(tmp_path: Path) -> None:
    described = poppler("pdfinfo", render_report(content()), tmp_path)
    assert "Fracture Screen" in described
    assert "Doe" not in described
    assert "4711" not in described


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"generated_at": datetime(2025, 3, 1)}, "no time zone"),
        ({"images": (replace(image(1, None), reason=""),)}, "image 1 has no probability"),
        ({"images": (replace(image(1), probability=1.2),)}, r"probability 1\.2"),
        ({"images": (replace(image(1), picture=np.zeros((2, 2))),)}, "a picture is float64"),
    ],
)
def test_contradictory_content_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        render_report(content(**changes))
