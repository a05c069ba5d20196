"""The processes: what the monitor says, and what the ledger shows of those that work."""

from datetime import timedelta

import httpx

from db.activity import Activity
from worker.doctor.database import missing_file, open_engine
from worker.doctor.finding import Verdict, failed, ok, skipped, warning
from worker.doctor.site import Site
from worker.monitor_parts import monitor_limits, reachable_host
from worklist.monitor.alarms import OF_THE_LEDGER, Kind, Severity, Trouble, troubles
from worklist.monitor.snapshot import LedgerCondition, Snapshot
from worklist.monitor.watch import folder_size

OF_WORK = OF_THE_LEDGER | {Kind.QUARANTINE}
"""Troubles of the monitor that no other check looks at."""


def look_at_monitor(site: Site) -> Verdict:
    """Its /ready; it says itself whether studies get through."""
    own = site.settings.monitor
    url = httpx.URL(scheme="http", host=reachable_host(own.host), port=own.port, path="/ready")
    try:
        # Settings alone say whom we ask: no proxy of the environment.
        answer = httpx.get(url, timeout=site.timeout_s, trust_env=False)
        content = answer.json()
        ready, reasons = bool(content["ready"]), [str(one["told"]) for one in content["reasons"]]
    except httpx.ReadTimeout:
        return warning(
            f"no answer at {own.host}:{own.port} within {site.timeout_s:g} s",
            "A busy machine, or another program's port (`ss -ltnp`): look again, with more time by "
            "--timeout.",
        )
    except httpx.TransportError:
        return warning(
            f"not running at {own.host}:{own.port}: nobody is told of alarms",
            "Start it: `fracture-screen up`, or `fracture-screen monitor` as a service of its own.",
        )
    except (ValueError, KeyError, TypeError):
        return failed(
            f"another program answers at {own.host}:{own.port}",
            "Set another monitor.port, or end that program (`ss -ltnp`).",
        )
    if ready:
        return ok(f"ready, says the monitor at {own.host}:{own.port}")
    return failed(
        f"not ready: {'; '.join(reasons)}",
        "The other checks say what to do; for no-progress, see that a worker runs and its log.",
    )


def look_at_work(site: Site) -> Verdict:
    """By the monitor's limits, once: does anything wait too long, was anything given up?"""
    settings, now = site.settings, site.clock()
    if missing_file(settings):
        return skipped("the database is not made yet")
    limits, quiet = monitor_limits(settings), timedelta(seconds=settings.study.quiet_period_s)
    with open_engine(settings) as engine:
        standing = Activity(engine).standing(now, limits.ready_wait, quiet)
    snapshot = Snapshot(
        taken_at=now,
        ledger=LedgerCondition.USABLE,
        standing=standing,
        queues={},
        disk_free=None,
        listener_open=True,
        quarantine=folder_size(settings.spool_folder / "quarantine"),
        missing_bundles=(),
    )
    return judge_work([one for one in troubles(snapshot, limits, ()) if one.kind in OF_WORK])


def judge_work(found: list[Trouble]) -> Verdict:
    """The worst decides; all are told."""
    if not found:
        return ok("nothing waits too long, nothing was given up")
    make = failed if any(one.severity is Severity.CRITICAL for one in found) else warning
    return make(
        " ".join(one.summary for one in found), " ".join(dict.fromkeys(one.remedy for one in found))
    )
