"""Any tree is walked in order, from any place on, whatever is held at a time."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.sweeps.folder_walk import walk

NAMES = st.text("abc1.", min_size=1, max_size=3).filter(lambda name: name not in (".", ".."))
TREES = st.recursive(
    st.just(None), lambda below: st.dictionaries(NAMES, below, max_size=5), max_leaves=20
)


def make(tree: object, folder: Path) -> None:
    if tree is None:
        folder.write_bytes(b"")
        return
    assert isinstance(tree, dict)
    folder.mkdir()
    for name, below in tree.items():
        make(below, folder / name)


@given(tree=TREES.filter(lambda tree: tree is not None), held=st.integers(1, 4))
def test_from_every_file_on_the_walk_goes_on_with_the_next(tree: object, held: int) -> None:
    with TemporaryDirectory() as name:
        root = Path(name) / "root"
        make(tree, root)
        files = list(walk(root, (), held))
        visible = [
            path
            for path in root.rglob("*")
            if path.is_file()
            and not any(part.startswith(".") for part in path.relative_to(root).parts)
        ]
        assert sorted(files) == sorted(visible)
        for place, file in enumerate(files):
            after = file.relative_to(root).parts
            assert list(walk(root, after, held)) == files[place + 1 :]


def test_a_link_that_leads_up_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "file").write_bytes(b"")
    assert [path.name for path in walk(tmp_path)] == ["file"]


def test_a_place_whose_folder_is_gone_is_passed_over(tmp_path: Path) -> None:
    for name in ("a", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"")
    after = ("b", "gone", "file")
    assert [path.parent.name for path in walk(tmp_path, after)] == ["c"]


def test_a_folder_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(walk(tmp_path / "gone"))
