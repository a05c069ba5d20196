"""The data folder: ours alone, on a disk that keeps what it is given, with room."""

import os
import shutil
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from dicom_node.spool import sync_folder, write_file_durably
from worker.composition import MIB
from worker.doctor.finding import Verdict, failed, ok, warning
from worker.settings import Settings

_NETWORK = "9p afs beegfs ceph cifs glusterfs gpfs lustre nfs nfs4 ocfs2 smb3 smbfs virtiofs"
_OF_USER_SPACE = ("fuse.glusterfs", "fuse.s3fs", "fuse.sshfs")
NETWORK_FILE_SYSTEMS = frozenset((*_NETWORK.split(), *_OF_USER_SPACE))
"""As /proc/mounts calls them: SQLite's write-ahead log needs memory that all processes share."""
VOLATILE_FILE_SYSTEMS = frozenset({"tmpfs", "ramfs"})
_SLOW_SYNC_S = 1.0


@dataclass(frozen=True, slots=True)
class Ownership:
    """Of a folder: numeric user and permissions."""

    user: int
    mode: int


def look_at_folder(settings: Settings) -> Verdict:
    """There, or to be made; ours; writable."""
    folder = settings.data_folder.resolve()
    if not folder.exists():
        return _to_be_made(folder)
    if not folder.is_dir():
        return failed(f"{folder} is no folder", "Move it away, or set another data_folder.")
    state = folder.stat()
    verdict = judge_ownership(folder, Ownership(state.st_uid, state.st_mode), os.geteuid())
    if verdict is not None:
        return verdict
    if not os.access(folder, os.W_OK | os.X_OK):
        return failed(
            f"{folder} cannot be written by user {os.geteuid()}",
            f"`chown` it to the service's user; a read-only mount: mount it rw ({folder}).",
        )
    return ok(f"{folder}, mode 0700, of user {state.st_uid}")


def judge_ownership(folder: Path, found: Ownership, we: int) -> Verdict | None:
    """None: as it should be."""
    if found.user != we:
        return failed(
            f"{folder} is of user {found.user}, we are user {we}",
            f"Run the doctor as the services run, e.g. `sudo -u '#{found.user}' fracture-screen "
            f"doctor`; if they run as {we}: `chown -R {we} {folder}`.",
        )
    if stat.S_IMODE(found.mode) & (stat.S_IRWXG | stat.S_IRWXO):
        return failed(
            f"{folder} has mode {stat.S_IMODE(found.mode):04o}: others reach radiographs of "
            "patients",
            f"`chmod 700 {folder}`.",
        )
    return None


def look_at_file_system(settings: Settings) -> Verdict:
    """Of a kind that the database can live on; what is synced is timed with a probe file."""
    folder = _nearest(settings.data_folder.resolve())
    kind = file_system_of(folder, Path("/proc/mounts").read_text())
    verdict = judge_file_system(folder, kind, embedded=settings.is_embedded_database)
    if verdict is not None:
        return verdict
    if folder != settings.data_folder.resolve():
        return ok(f"{kind}; not written to: the data folder is not made yet")
    try:
        seconds = _time_sync(folder)
    except OSError as error:
        return failed(
            f"a probe file cannot be written and synced in {folder}: {error.strerror}",
            "Look for a full disk (inodes, too: `df -i`), quotas, a read-only mount and the "
            "kernel's log (`dmesg`).",
        )
    return judge_sync(kind, seconds)


def judge_file_system(folder: Path, kind: str, *, embedded: bool) -> Verdict | None:
    """None: fit for us."""
    if kind in NETWORK_FILE_SYSTEMS and embedded:
        return failed(
            f"{folder} is on {kind}, a network file system; the embedded database would break",
            "Set data_folder to a local disk, or database_url to a PostgreSQL (and broker_url to "
            "a Redis).",
        )
    if kind in VOLATILE_FILE_SYSTEMS:
        return failed(
            f"{folder} is on {kind}: everything is lost when the machine restarts",
            "Set data_folder to a disk.",
        )
    return None


def judge_sync(kind: str, seconds: float) -> Verdict:
    """By the seconds that a small file took until it was durable."""
    told = f"{kind}; a file is durable after {1000 * seconds:.0f} ms"
    if seconds > _SLOW_SYNC_S:
        return warning(
            told,
            "Each instance waits for that: look at the disk's health and load, or take a faster "
            "one.",
        )
    return ok(told)


def look_at_disk(settings: Settings) -> Verdict:
    """Free space against both limits of the settings."""
    folder = _nearest(settings.data_folder.resolve())
    return judge_free(
        shutil.disk_usage(folder).free // MIB,
        minimum_mib=settings.listener.minimum_free_mib,
        warning_mib=settings.monitor.disk_warning_mib,
    )


def judge_free(free_mib: int, *, minimum_mib: int, warning_mib: int) -> Verdict:
    """Below the minimum the listener refuses; below the other the monitor warns."""
    told = f"{free_mib} MiB free"
    if free_mib < minimum_mib:
        return failed(
            f"{told}; the listener refuses instances below {minimum_mib} MiB",
            "Free disk space on the data folder's file system, or give it more "
            "(listener.minimum_free_mib). Modalities send again by themselves.",
        )
    if free_mib < warning_mib:
        return warning(
            f"{told}, less than {warning_mib} MiB (monitor.disk_warning_mib)",
            "Free disk space, or give the data folder a larger disk, before it is full.",
        )
    return ok(told)


def file_system_of(folder: Path, mounts: str) -> str:
    """The kind of the file system that holds `folder`, from the text of /proc/mounts."""
    best, kind = Path(), "unknown"
    for line in mounts.splitlines():
        _, point, found, *_ = line.split(" ")
        mounted = Path(point.encode().decode("unicode_escape"))  # \040 is a space
        if folder.is_relative_to(mounted) and len(mounted.parts) >= len(best.parts):
            best, kind = mounted, found
    return kind


def _to_be_made(folder: Path) -> Verdict:
    parent = _nearest(folder)
    if parent.is_dir() and os.access(parent, os.W_OK | os.X_OK):
        return ok(f"{folder} is not there yet; the first start makes it")
    return failed(
        f"{folder} is not there and {parent} cannot be written by user {os.geteuid()}",
        f"`install -d -m 700 -o USER {folder}` with the service's user, or set another "
        "data_folder.",
    )


def _nearest(folder: Path) -> Path:
    """The folder, or of those above it the first that is there."""
    return next(one for one in (folder, *folder.parents) if one.exists())


def _time_sync(folder: Path) -> float:
    probe = folder / f".doctor-{uuid4().hex}"
    began = time.monotonic()
    try:
        write_file_durably(probe, b"fracture-screen doctor")
        sync_folder(folder)
        return time.monotonic() - began
    finally:
        probe.unlink(missing_ok=True)
