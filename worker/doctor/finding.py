"""What is looked at, and what was found: plain values."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Result(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    """It works, and somebody should look at it soon."""
    FAILED = "failed"
    """Studies will not get through, or not safely."""
    SKIPPED = "skipped"
    """Not looked at; what was found says why."""


class CheckName(StrEnum):
    """Every check that there is; docs/doctor.md has a line for each."""

    SETTINGS = "settings"
    SECRET_FILE = "secret-file"  # noqa: S105  # a name
    DATA_FOLDER = "data-folder"
    FILE_SYSTEM = "file-system"
    DISK = "disk"
    FOLDER = "folder"
    CLOCK = "clock"
    TIME_ZONE = "time-zone"
    DATABASE = "database"
    MIGRATIONS = "migrations"
    BROKER = "broker"
    CERTIFICATE = "certificate"
    LISTENER = "listener"
    LISTENER_TLS = "listener-tls"
    DESTINATION_TLS = "destination-tls"
    DESTINATION_ECHO = "destination-echo"
    DESTINATION_STORE = "destination-store"
    SOURCE_TLS = "source-tls"
    SOURCE_ECHO = "source-echo"
    SOURCE_FIND = "source-find"
    SOURCE_RETRIEVE = "source-retrieve"
    PEER_TLS = "peer-tls"
    PEER_ECHO = "peer-echo"
    RECEIVER = "receiver"
    BUNDLE = "bundle"
    DECODER = "decoder"
    INFERENCE = "inference"
    MONITOR = "monitor"
    WORK = "work"
    BODY_PARTS = "body-parts"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one look says; `remedy` is empty where there is nothing to do."""

    result: Result
    found: str
    remedy: str = ""


def ok(found: str) -> Verdict:
    """As it should be."""
    return Verdict(Result.OK, found)


def warning(found: str, remedy: str) -> Verdict:
    """To be seen to soon."""
    return Verdict(Result.WARNING, found, remedy)


def failed(found: str, remedy: str) -> Verdict:
    """To be mended now."""
    return Verdict(Result.FAILED, found, remedy)


def skipped(why: str) -> Verdict:
    """Not looked at."""
    return Verdict(Result.SKIPPED, why)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to look at.

    `look` may raise anything and take as long as it likes: `examine` bounds it by `budget_s`
    seconds. It is skipped where one of `needs`, of the same subject or of none, has failed.
    """

    name: CheckName
    look: Callable[[], Verdict]
    subject: str = ""
    """Of several, which: a destination's name, a file; "": there is one."""
    budget_s: float = 30.0
    needs: tuple[CheckName, ...] = ()
    late: Result = Result.FAILED
    """How it ends beyond its budget: a warning where a slow machine alone can be the cause."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found, and how long it took in seconds."""

    check: CheckName
    subject: str
    verdict: Verdict
    seconds: float

    @property
    def result(self) -> Result:
        """How it ended."""
        return self.verdict.result
