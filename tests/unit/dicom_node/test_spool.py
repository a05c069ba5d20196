import errno
import gc
import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dicom_node.errors import SpoolError
from dicom_node.spool import Spool


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


def _all_files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def test_written_bytes_lie_in_incoming_with_their_digest(spool: Spool) -> None:
    stored = spool.write(b"some bytes")

    assert stored.path.read_bytes() == b"some bytes"
    assert stored.sha256 == hashlib.sha256(b"some bytes").hexdigest()
    assert stored.size == 10
    assert stored.path.is_relative_to(spool.root / "incoming")
    assert list(spool.files()) == [stored.path]


def test_only_the_owner_may_read_a_spooled_file(spool: Spool) -> None:
    assert spool.write(b"x").path.stat().st_mode & 0o777 == 0o600


def test_file_and_folders_are_synced_before_write_returns(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real_fsync = os.fsync

    def noting_fsync(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real_fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    stored = spool.write(b"x")

    assert synced[0] == str(spool.root / "tmp" / stored.path.name)
    assert str(stored.path.parent) in synced


def test_a_failing_fsync_is_a_spool_error_and_leaves_nothing_behind(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing_fsync(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", failing_fsync)

    with pytest.raises(SpoolError, match="Input/output error"):
        spool.write(b"x")
    assert _all_files(spool.root) == []


def test_a_failing_folder_sync_after_the_rename_leaves_nothing_behind(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_fsync = os.fsync

    def fsync(descriptor: int) -> None:
        if Path(os.readlink(f"/proc/self/fd/{descriptor}")).parent.name == "incoming":
            raise OSError(errno.EIO, "Input/output error")
        real_fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)

    with pytest.raises(SpoolError):
        spool.write(b"x")
    assert _all_files(spool.root) == []


class _SlowFolderSync:
    """Lets the first fsync of a folder in incoming/ wait until it is told to go on, or to fail."""

    def __init__(self, fails: bool = False) -> None:
        self.count = 0
        self.begun, self.may_end = threading.Event(), threading.Event()
        self._fails = fails

    def __call__(self, folder: Path) -> None:
        self.count += 1
        if self.count == 1:
            self.begun.set()
            assert self.may_end.wait(10)
        elif self._fails:
            raise OSError(errno.EIO, "Input/output error")


def _renamed(spool: Spool) -> int:
    return len(list(spool.files()))


def _store_while_one_syncs(spool: Spool, sync: _SlowFolderSync) -> list[BaseException | None]:
    """One file whose folder fsync is slow, and six that are renamed meanwhile."""
    with ThreadPoolExecutor(7) as pool:
        first = pool.submit(spool.write, b"first")
        assert sync.begun.wait(10)
        others = [pool.submit(spool.write, b"other") for _ in range(6)]
        while _renamed(spool) < 7:
            assert not any(other.done() for other in others), "answered before it was durable"
        threading.Event().wait(0.2)  # the last of them is on its way from its rename to the queue
        sync.may_end.set()
        return [future.exception(10) for future in [first, *others]]


def test_files_that_come_while_a_folder_is_synced_share_the_next_fsync(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = _SlowFolderSync()
    monkeypatch.setattr("dicom_node.spool.sync_folder", sync)
    monkeypatch.setattr("dicom_node.spool._FOLDER_FOR_S", 1e12)

    assert _store_while_one_syncs(spool, sync) == [None] * 7
    assert sync.count == 2


def test_a_shared_fsync_that_fails_fails_for_all_that_waited_for_it(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = _SlowFolderSync(fails=True)
    monkeypatch.setattr("dicom_node.spool.sync_folder", sync)
    monkeypatch.setattr("dicom_node.spool._FOLDER_FOR_S", 1e12)

    first, *others = _store_while_one_syncs(spool, sync)

    assert first is None
    assert [type(error) for error in others] == [SpoolError] * 6
    assert sync.count == 2
    assert len(_all_files(spool.root)) == 1


def test_files_of_another_minute_go_into_another_folder(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = []
    for minute in range(300):
        monkeypatch.setattr("dicom_node.spool.time.time", lambda minute=minute: 60.0 * minute)
        folders.append(spool.write(b"x").path.parent)

    assert len(set(folders[:256])) == 256
    assert folders[256:] == folders[:44]


def test_a_file_that_is_never_committed_leaves_nothing_behind(spool: Spool) -> None:
    with spool.open() as writer:
        writer.write(b"first")
        assert len(_all_files(spool.root)) == 1
    assert _all_files(spool.root) == []


def test_a_file_that_was_forgotten_leaves_nothing_behind(spool: Spool) -> None:
    spool.open().write(b"first")

    gc.collect()

    assert _all_files(spool.root) == []


def test_the_watermark_is_looked_at_again_within_a_large_file(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dicom_node.spool._ASK_FOR_ROOM_EVERY", 10)
    with spool.open() as writer:
        writer.write(b"x" * 10)
        spool.minimum_free_bytes = 2**62
        with pytest.raises(SpoolError, match="watermark"):
            writer.write(b"x")
    assert _all_files(spool.root) == []


def test_what_was_written_can_be_read_before_it_is_committed(spool: Spool) -> None:
    with spool.open() as writer:
        writer.write(b"first")
        writer.write(b" second")
        with writer.written() as view:
            assert bytes(view) == b"first second"
        stored = writer.commit()
    assert stored.path.read_bytes() == b"first second"
    assert stored.size == len(b"first second")
    assert stored.sha256 == hashlib.sha256(b"first second").hexdigest()


def test_below_the_watermark_nothing_is_written(tmp_path: Path) -> None:
    full = Spool(tmp_path, minimum_free_bytes=2**62)

    assert not full.has_room()
    with pytest.raises(SpoolError, match="watermark"):
        full.write(b"x")
    assert _all_files(tmp_path) == []


def test_a_quarantined_file_is_kept_and_no_longer_incoming(spool: Spool) -> None:
    stored = spool.write(b"other")

    kept = spool.quarantine(stored.path)

    assert kept.read_bytes() == b"other"
    assert kept.parent == spool.root / "quarantine"
    assert list(spool.files()) == []


def test_discarding_twice_is_no_error(spool: Spool) -> None:
    stored = spool.write(b"x")

    spool.discard(stored.path)
    spool.discard(stored.path)

    assert list(spool.files()) == []


def test_only_old_temporaries_are_removed(spool: Spool) -> None:
    old, young = spool.root / "tmp" / "old.dcm", spool.root / "tmp" / "young.dcm"
    old.write_bytes(b"x")
    young.write_bytes(b"x")
    os.utime(old, (1, 1))

    assert spool.remove_stale_temporaries(older_than_s=3600) == 1
    assert not old.exists()
    assert young.exists()
