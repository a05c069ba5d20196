"""A change in a folder wakes who waits for it; nothing else does."""

import errno
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.folder_watch import FolderWatch, watch_if_possible


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[FolderWatch]:
    made = FolderWatch(tmp_path, lambda name: name.endswith(".msg"))
    yield made
    made.close()


def test_a_file_that_is_renamed_into_the_folder_is_told_of(
    watch: FolderWatch, tmp_path: Path
) -> None:
    def arrive() -> None:
        (tmp_path / "new.tmp").write_text("content")
        (tmp_path / "new.tmp").rename(tmp_path / "new.msg")

    threading.Timer(0.2, arrive).start()
    assert watch.wait(20)
    assert not watch.wait(0)


def test_a_file_that_is_written_to_is_told_of(watch: FolderWatch, tmp_path: Path) -> None:
    file = tmp_path / "log.msg"
    file.touch()
    with file.open("a") as log:
        log.write("more")
    assert watch.wait(20)


def test_what_came_while_nobody_waited_is_not_lost(watch: FolderWatch, tmp_path: Path) -> None:
    (tmp_path / "new.tmp").touch()
    (tmp_path / "new.tmp").rename(tmp_path / "new.msg")
    assert watch.wait(0)


def test_files_of_other_names_wake_nobody(watch: FolderWatch, tmp_path: Path) -> None:
    threading.Timer(0.1, (tmp_path / "other").write_text, ("content",)).start()
    began = time.monotonic()
    assert not watch.wait(0.5)
    assert time.monotonic() - began >= 0.5


def test_a_wait_can_be_ended_from_another_thread(watch: FolderWatch) -> None:
    threading.Timer(0.2, watch.wake).start()
    assert watch.wait(20)
    assert not watch.wait(0)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOSPC])
def test_where_the_system_gives_no_watch_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, "refused")

    monkeypatch.setattr("worker.folder_watch.INotify.add_watch", refuse)
    assert watch_if_possible(tmp_path, bool) is None


def test_a_folder_that_is_not_there_is_not_watched(tmp_path: Path) -> None:
    assert watch_if_possible(tmp_path / "missing", bool) is None
