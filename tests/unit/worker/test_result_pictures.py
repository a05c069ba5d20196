"""Result objects as PNG and PDF, and how these files are named."""

from pathlib import Path

import pytest

from worker.result_pictures import UniqueNames, safe_stem


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("hand.png", "hand"),
        ("IM0001", "IM0001"),
        ("1.2.840.113619.7", "1.2.840.113619.7"),
        ("linke Hand (2).DCM", "linke_Hand_2_"),
        ("Müller.jpeg", "Müller"),
        ("..dcm", "file"),
        ("--help.png", "help"),
        ("a;b|c.png", "a_b_c"),
        ("\u202egnp.exe\n.png", "_gnp.exe_"),
        ("骨" * 90 + ".png", "骨" * 50),
    ],
)
def test_a_name_keeps_what_is_safe_in_a_shell_and_a_table(name: str, stem: str) -> None:
    assert safe_stem(Path("folder") / name) == stem
    assert " " not in stem
    assert len(f"{stem}-frame-64-heatmap-99.png".encode()) <= 255


def test_no_name_is_given_twice_whatever_the_case(tmp_path: Path) -> None:
    (tmp_path / "mine-report.pdf").write_bytes(b"not ours")
    names = UniqueNames(tmp_path)
    given = [names.take(stem, ".pdf") for stem in ("hand", "Hand", "hand-2", "hand", "mine-report")]
    assert given == ["hand.pdf", "Hand-2.pdf", "hand-2-2.pdf", "hand-3.pdf", "mine-report-2.pdf"]
    assert len({name.casefold() for name in given}) == len(given)
