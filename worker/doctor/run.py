"""From the command line's wishes to the findings: settings first, since all else needs them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from worker.composition import utc_now
from worker.doctor.checks import all_checks
from worker.doctor.examination import examine
from worker.doctor.finding import Check, CheckName, Finding, skipped
from worker.doctor.settings_file import read_settings
from worker.doctor.site import Site, secrets_of
from worker.settings import settings_file


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the caller allows and wants."""

    store: bool = False
    retrieve: bool = False
    leave_out: tuple[CheckName, ...] = ()
    timeout_s: float = 10.0


def examine_site(
    config: Path | None,
    wishes: Wishes,
    on_begin: Callable[[Check], None] = lambda check: None,
) -> list[Finding]:
    """All findings about the installation that these settings describe.

    Args:
        config: as `load_settings` takes it.
        on_begin: called with each check before it is made.
    """
    file = settings_file(config)
    settings, verdict = read_settings(config, file)
    first = Finding(CheckName.SETTINGS, "", verdict, 0.0)
    if settings is None:
        why = skipped(f"{CheckName.SETTINGS} failed")
        others = (name for name in CheckName if name is not CheckName.SETTINGS)
        return [first, *(Finding(name, "", why, 0.0) for name in others)]
    site = Site(
        settings, file, utc_now, wishes.timeout_s, store=wishes.store, retrieve=wishes.retrieve
    )
    checks = all_checks(site)
    secrets = secrets_of(settings)
    return [
        first,
        *examine(checks, leave_out=wishes.leave_out, secrets=secrets, on_begin=on_begin),
    ]
