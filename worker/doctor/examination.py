"""Does the checks, one after the other: bounded in time, none stops the others, none tells secrets.

Knows nothing of what is looked at.
"""

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from queue import Empty, SimpleQueue
from threading import Thread

from worker.doctor.finding import Check, CheckName, Finding, Result, Verdict, failed, skipped

HIDDEN = "***"


def examine(
    checks: Iterable[Check],
    *,
    leave_out: Collection[CheckName] = (),
    secrets: Collection[str] = (),
    on_begin: Callable[[Check], None] = lambda check: None,
) -> list[Finding]:
    """One finding per check, in their order.

    Args:
        leave_out: checks that the caller does not want.
        secrets: what must not be told, whatever a library writes into its errors.
        on_begin: called with each check before it is made.
    """
    findings: list[Finding] = []
    for check in checks:
        began = time.monotonic()
        verdict = _why_not(check, findings, leave_out)
        if verdict is None:
            on_begin(check)
            verdict = _masked(_within_budget(check), secrets)
        seconds = round(time.monotonic() - began, 3)
        findings.append(Finding(check.name, check.subject, verdict, seconds))
    return findings


def exit_code(findings: Sequence[Finding]) -> int:
    """1 if something failed, else 0: warnings are no failures."""
    return int(any(finding.result is Result.FAILED for finding in findings))


def _why_not(
    check: Check, before: Sequence[Finding], leave_out: Collection[CheckName]
) -> Verdict | None:
    if check.name in leave_out:
        return skipped("left out by --skip")
    for finding in before:
        same = finding.subject in ("", check.subject)
        if finding.check in check.needs and same and finding.result is Result.FAILED:
            return skipped(f"{finding.check} failed")
    return None


def _within_budget(check: Check) -> Verdict:
    """In a thread of its own, which is left behind where it does not come back."""
    answers: SimpleQueue[Verdict] = SimpleQueue()
    Thread(target=lambda: answers.put(_look(check)), daemon=True, name=check.name).start()
    try:
        return answers.get(timeout=check.budget_s)
    except Empty:
        return Verdict(
            check.late,
            f"no answer within {check.budget_s:g} s",
            "Something hangs: look at the disk, the network and the machine's load, or give more "
            "time by --timeout.",
        )


def _look(check: Check) -> Verdict:
    try:
        return check.look()
    except Exception as error:  # the boundary: what one check meets must not stop the others
        # The message is not told: it may quote what nobody has looked at.
        return failed(
            f"the check itself broke ({type(error).__name__})",
            "This is a fault of the doctor, or of a file that it reads: report it with the "
            "version, and see to this part by hand.",
        )


def _masked(verdict: Verdict, secrets: Collection[str]) -> Verdict:
    found, remedy = verdict.found, verdict.remedy
    for secret in filter(None, secrets):
        found, remedy = found.replace(secret, HIDDEN), remedy.replace(secret, HIDDEN)
    return Verdict(verdict.result, found, remedy)
