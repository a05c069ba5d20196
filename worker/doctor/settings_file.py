"""The settings file, and every file that holds a secret: readable for us, closed to others."""

import stat
from collections.abc import Iterator
from pathlib import Path

from worker.doctor.finding import Verdict, failed, ok, warning
from worker.doctor.site import called, secrets_of
from worker.errors import SettingsError
from worker.settings import Settings, load_settings
from worklist.signing import read_secret

MOUNTED = Path("/run/secrets")
"""Where container platforms put secrets: modes are theirs, and nobody else is there."""


def read_settings(config: Path | None, file: Path | None) -> tuple[Settings | None, Verdict]:
    """The settings in force (None: there are none to be had), and what that says.

    Args:
        config: as `load_settings` takes it.
        file: the file that this means; None: no file.
    """
    try:
        return load_settings(config), ok(f"{file} is valid" if file else "no file: defaults")
    except SettingsError as error:
        remedy = "Correct the setting that is named; `fracture-screen settings show` explains all."
        if file is not None and not file.exists():
            remedy = "Give the file's path by --config or FRACTURE_SCREEN_CONFIG."
        return None, failed(str(error), remedy)
    except (OSError, UnicodeError) as error:
        told = getattr(error, "strerror", None) or "it is no text in UTF-8"
        return None, failed(
            f"{file} cannot be read: {told}",
            f"Let the service's user read it: `chown root:GROUP {file}`, `chmod 640 {file}`.",
        )


def secret_files(settings: Settings, settings_file: Path | None) -> Iterator[tuple[Path, bool]]:
    """Every file that must be closed to others, once; True: it signs, so it must be long enough."""
    if settings_file is not None and _holds_secrets(settings, settings_file):
        yield settings_file, False
    keys = [settings.database_url_file, settings.broker_url_file]
    keys += [settings.listener.tls.key, settings.worklist.tls_key_file]
    keys += [one.tls_key_file for one in called(settings)]
    yield from ((path, False) for path in dict.fromkeys(keys) if path is not None)
    signing = [hook.secret_file for hook in settings.webhooks]
    signing += [one for one in [settings.monitor.alarm_secret_file] if one is not None]
    yield from ((path, True) for path in dict.fromkeys(signing))


def look_at_secret_file(path: Path, *, signs: bool) -> Verdict:
    """Whether we can use it and others cannot."""
    try:
        if signs:
            read_secret(path)
        else:
            path.open("rb").close()
        mode = path.stat().st_mode
    except ValueError as error:
        return failed(str(error), f"Write a longer one: `openssl rand -hex 32 > {path}`.")
    except OSError as error:
        return failed(
            f"{path} cannot be read: {error.strerror}",
            "Put the file there, or correct its path in the settings; the service's user must be "
            "able to read it.",
        )
    if path.is_relative_to(MOUNTED):
        return ok(f"{path} is the container platform's")
    return judge_mode(path, mode)


def judge_mode(path: Path, mode: int) -> Verdict:
    """A file with a secret, by its permissions."""
    told = f"{path} has mode {stat.S_IMODE(mode):04o}"
    if mode & stat.S_IRWXO:
        return failed(
            f"{told}: every user of this machine can use it",
            f"`chmod 640 {path}` (or 600), then change the secret: it may have been read.",
        )
    if mode & stat.S_IWGRP:
        return warning(f"{told}: its group can write it", f"`chmod g-w {path}`.")
    return ok(told)


def _holds_secrets(settings: Settings, file: Path) -> bool:
    text = file.read_text(errors="replace")
    return any(secret in text for secret in secrets_of(settings))
