"""A fault at each step from bytes to commit: the status is right, the reconciler repairs the rest.

Steps: write, fsync, rename, folder fsync, commit.
"""

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from db.errors import LedgerUnavailable
from db.ledger import Ledger
from db.session import make_engine
from dicom_node.errors import AssociationFailed
from dicom_node.instance import ReceivedInstance, RemoteAE
from dicom_node.receiver import Receipt
from dicom_node.spool import Spool
from dicom_node.storage_scp import StorageScp
from dicom_node.storage_scu import echo, send_instances
from tests.unit.dicom_node.instances import radiograph_dataset, write_instance
from worker.composition import utc_now
from worker.intake import Intake

UID = str(radiograph_dataset().SOPInstanceUID)
Sink = Callable[[ReceivedInstance], Receipt]


@dataclass
class Node:
    """A listener with its ledger; `sink` may be replaced by a failing one."""

    scp: StorageScp
    spool: Spool
    intake: Intake
    ledger: Ledger
    source: Path
    sink: Sink

    def send(self) -> int | None:
        remote = RemoteAE("SCREEN", "127.0.0.1", self.scp.port)
        (result,) = send_instances(remote, [self.source], calling_ae_title="MODALITY")
        return result.status

    def files(self) -> list[Path]:
        return [path for path in self.spool.root.rglob("*") if path.is_file()]

    def rows(self) -> list[str]:
        return [uid for uid, _ in self.ledger.instance_paths()]


@pytest.fixture
def node(tmp_path: Path, database_url: str) -> Iterator[Node]:
    spool = Spool(tmp_path / "data" / "spool")
    ledger = Ledger(make_engine(database_url), utc_now)
    intake = Intake(ledger, spool, tmp_path / "data")
    source = write_instance(radiograph_dataset(), tmp_path / "a.dcm")
    made: list[Node] = []

    def sink(instance: ReceivedInstance) -> Receipt:
        return made[0].sink(instance)

    with StorageScp(ae_title="SCREEN", host="127.0.0.1", port=0, spool=spool, sink=sink) as scp:
        made.append(Node(scp, spool, intake, ledger, source, intake.register))
        yield made[0]


def _in_folder(descriptor: int, name: str) -> bool:
    return name in Path(os.readlink(f"/proc/self/fd/{descriptor}")).parts


def _break_write(monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    real = os.write

    def full(descriptor: int, data: Any) -> int:
        if _in_folder(descriptor, "spool"):
            raise OSError(error, os.strerror(error))
        return real(descriptor, data)

    monkeypatch.setattr("dicom_node.spool.os.write", full)


def _raise(error: int) -> Callable[..., Any]:
    def failing(*_: object, **__: object) -> Any:
        raise OSError(error, os.strerror(error))

    return failing


def _break_fsync(monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    monkeypatch.setattr("dicom_node.spool.os.fsync", _raise(error))


def _break_rename(monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    monkeypatch.setattr(Path, "rename", _raise(error))


def _break_folder_fsync(monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    monkeypatch.setattr("dicom_node.spool.sync_folder", _raise(error))


STEPS = {
    "write": _break_write,
    "fsync": _break_fsync,
    "rename": _break_rename,
    "folder fsync": _break_folder_fsync,
}


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("step", STEPS)
def test_a_step_on_disk_that_fails_is_out_of_resources_and_can_be_sent_again(
    node: Node, step: str, error: int
) -> None:
    with pytest.MonkeyPatch.context() as broken:
        STEPS[step](broken, error)
        assert node.send() == 0xA700

    assert node.files() == []
    assert node.rows() == []
    assert node.send() == 0x0000
    assert node.rows() == [UID]


def test_a_commit_that_fails_is_out_of_resources_and_the_reconciler_registers_the_file(
    node: Node,
) -> None:
    def failing(instance: ReceivedInstance) -> Receipt:
        raise LedgerUnavailable("the database is away")

    node.sink = failing
    assert node.send() == 0xA700
    assert node.rows() == []

    node.intake.reconcile(orphan_age_s=0)

    assert node.rows() == [UID]
    assert len(node.files()) == 1


def test_a_commit_whose_answer_is_lost_is_sent_again_without_harm(node: Node) -> None:
    def committing(instance: ReceivedInstance) -> Receipt:
        node.intake.register(instance)
        raise ConnectionError("the connection broke after COMMIT")

    node.sink = committing
    assert node.send() == 0xA700
    node.sink = node.intake.register
    assert node.send() == 0x0000
    node.intake.reconcile(orphan_age_s=0)

    assert node.rows() == [UID]
    assert len(node.files()) == 1


def test_a_row_whose_file_is_gone_raises_an_alarm(node: Node) -> None:
    assert node.send() == 0x0000
    node.files()[0].unlink()

    with capture_logs() as logs:
        node.intake.reconcile()

    alarms = [each for each in logs if each["event"] == "instance_file_missing"]
    assert [each["log_level"] for each in alarms] == ["critical"]


def test_what_a_kill_left_half_written_is_removed_once_it_is_old(node: Node) -> None:
    left = node.spool.root / "tmp" / "left.dcm"
    left.write_bytes(b"half")
    os.utime(left, (1, 1))

    node.intake.reconcile()

    assert not left.exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    mount = shutil.which("mount")
    if mount is None or subprocess.run([mount, *options], capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs (root)")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def _accept(instance: ReceivedInstance) -> Receipt:
    return Receipt.ACCEPTED


def test_a_full_disk_refuses_the_instance_and_keeps_what_is_there(
    small_disk: Path, tmp_path: Path
) -> None:
    spool = Spool(small_disk / "spool")
    datasets = [radiograph_dataset(n, rows=1024, columns=512) for n in range(1, 7)]
    paths = [write_instance(each, tmp_path / f"{n}.dcm") for n, each in enumerate(datasets)]
    with StorageScp(ae_title="SCREEN", host="127.0.0.1", port=0, spool=spool, sink=_accept) as scp:
        remote = RemoteAE("SCREEN", "127.0.0.1", scp.port)
        statuses = [
            each.status for each in send_instances(remote, paths, calling_ae_title="MODALITY")
        ]

    assert set(statuses) == {0x0000, 0xA700}
    assert len(list(spool.files())) == statuses.count(0x0000)
    assert list((spool.root / "tmp").iterdir()) == []


def test_below_the_watermark_associations_are_refused_with_an_alarm_until_there_is_room(
    small_disk: Path,
) -> None:
    spool = Spool(small_disk / "spool", minimum_free_bytes=2 * 1024 * 1024)
    ballast = small_disk / "ballast"
    with StorageScp(ae_title="SCREEN", host="127.0.0.1", port=0, spool=spool, sink=_accept) as scp:
        remote = RemoteAE("SCREEN", "127.0.0.1", scp.port)
        ballast.write_bytes(bytes(3 * 1024 * 1024))
        with capture_logs() as logs, pytest.raises(AssociationFailed):
            echo(remote, calling_ae_title="MODALITY")
        alarms = [each for each in logs if each["event"] == "association_rejected_disk_full"]
        assert [each["log_level"] for each in alarms] == ["critical"]

        ballast.unlink()
        echo(remote, calling_ae_title="MODALITY")
