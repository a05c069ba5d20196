"""What `screen` prints."""

from io import StringIO
from pathlib import Path

from rich.console import Console

from worker.offline import Row
from worker.screen_summary import all_failed, print_screen, screen_summary


def row(
    outcome: str, reason: str = "", path: str = "a.dcm", probability: float | None = None
) -> Row:
    return Row(path, "1.2", "1.2.1", outcome, probability, None, None, reason, "model 1")


def printed(rows: list[Row]) -> list[str]:
    stream = StringIO()
    print_screen(Console(file=stream, width=80), rows, Path("out"))
    return stream.getvalue().splitlines()


def test_every_file_has_a_line_with_outcome_probability_and_reason() -> None:
    long_name = "folder/" + "x" * 90 + ".dcm"
    lines = printed(
        [
            row("POSITIVE", path="hand.png", probability=0.8813),
            row("NOT_ANALYSED", "no pixel data", path=long_name),
            row("FAILED", "no DICOM", "[bold]b.dcm"),
        ]
    )
    assert lines[0].split() == ["hand.png", "POSITIVE", "88", "%"]
    assert lines[1].split() == [long_name, "NOT_ANALYSED", "no", "pixel", "data"]
    assert lines[2].split() == ["[bold]b.dcm", "FAILED", "no", "DICOM"]
    assert lines[3] == (
        "3 images: 1 FAILED, 1 NOT_ANALYSED, 1 POSITIVE. Table with all result files: "
        "out/results.csv"
    )


def test_a_negative_never_stands_without_what_it_does_not_say() -> None:
    warning = "NEGATIVE does not exclude a fracture."
    assert warning in printed([row("NEGATIVE", probability=0.01)])
    assert warning not in printed([row("POSITIVE", probability=0.9)])


def test_the_summary_for_machines_counts_outcomes() -> None:
    rows = [row("NEGATIVE"), row("NEGATIVE"), row("FAILED", "no DICOM")]
    summary = screen_summary(rows, Path("out"))
    assert summary["outcomes"] == {"NEGATIVE": 2, "FAILED": 1}
    assert summary["images"] == 3


def test_all_failed_is_told_from_what_was_not_for_the_model() -> None:
    assert all_failed([row("FAILED"), row("FAILED")])
    assert not all_failed([row("FAILED"), row("NOT_ANALYSED")])


def test_skipped_files_do_not_count_as_screened() -> None:
    assert all_failed([row("SKIPPED"), row("FAILED")])
    assert not all_failed([row("SKIPPED"), row("NEGATIVE")])
