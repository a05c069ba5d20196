"""Errors of this package.

WorkerError
├── SettingsError   the settings file or the environment cannot be used
├── NothingToDo     a command was given no file that it can work on
├── FolderInUse     a command was given a folder for results that it cannot use
├── CertificatesNotMade   `certs make` could not
├── ExtraMissing    a command needs an extra that is not installed
├── DemoRefused     the demo cannot begin with what it was given
├── DemoFailed      a process of the demo could not run, or stood still
├── NoInstallation  nothing was begun where the settings say
├── DataFolderRefused   the data folder cannot be made or written
├── LockHeld        another process does what one may do at a time
├── PortRefused     a port of the settings cannot be listened on
├── BackupRefused   a backup cannot be made, or cannot be restored here
└── RestoreUnfinished   the data folder holds half of a backup
"""


class WorkerError(Exception):
    """Root of every error that `worker` raises on purpose; the CLI prints it without a trace."""


class SettingsError(WorkerError):
    """Settings are wrong; the message names the setting and what is allowed."""


class NothingToDo(WorkerError):
    """No input; the message says what was looked for."""


class FolderInUse(WorkerError):
    """The folder for results holds others, or is a file; the message names the remedy."""


class DemoRefused(WorkerError):
    """Folder or files cannot be used; the message says why."""


class DemoFailed(WorkerError):
    """A process could not run, or nothing moved; the message says which and its last words."""


class BackupRefused(WorkerError):
    """A copy cannot be made, or not be restored; the message says what is in the way."""


class RestoreUnfinished(WorkerError):
    """A restore broke off: nothing may run on what it left."""


class CertificatesNotMade(WorkerError):
    """No certificates; the message says what is missing."""


class NoInstallation(WorkerError):
    """There is no data folder or no database yet; the message names what was looked for."""


class DataFolderRefused(WorkerError):
    """The data folder cannot be used; the message names the setting and the remedy."""


class LockHeld(WorkerError):
    """Another process holds a lock of the data folder; `holder` says which."""

    def __init__(self, message: str, holder: str) -> None:
        super().__init__(message)
        self.holder = holder


class PortRefused(WorkerError):
    """A port cannot be listened on; the message names the setting, the holder and the remedy."""


class ExtraMissing(WorkerError):
    """A command needs packages of an extra that is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"{package} is missing; install the {extra} extra: fracture-screen[{extra}]"
        )
