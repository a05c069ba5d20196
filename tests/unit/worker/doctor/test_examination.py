"""Checks are bounded, none stops the others, and none tells a secret."""

import json
import time
from io import StringIO
from threading import Event

from rich.console import Console

from worker.doctor.examination import HIDDEN, examine, exit_code
from worker.doctor.finding import Check, CheckName, Result, Verdict, failed, ok, skipped, warning
from worker.doctor.report import as_json, print_findings

DISK, CLOCK, DATABASE = CheckName.DISK, CheckName.CLOCK, CheckName.DATABASE


def breaks() -> Verdict:
    raise RuntimeError("patient Meier")


def test_a_check_that_breaks_is_a_failure_that_quotes_nothing_and_the_others_are_done() -> None:
    broken, fine = examine([Check(DISK, breaks), Check(CLOCK, lambda: ok("fine"))])
    assert broken.result is Result.FAILED
    assert "RuntimeError" in broken.verdict.found
    assert "Meier" not in str(broken)
    assert fine.result is Result.OK


def test_a_check_that_hangs_ends_with_its_budget() -> None:
    began = time.monotonic()
    never = Event()

    def hangs() -> Verdict:
        never.wait()
        return ok("")

    hanging, fine = examine([Check(DISK, hangs, budget_s=0.2), Check(CLOCK, lambda: ok("fine"))])
    never.set()
    assert time.monotonic() - began < 5
    assert "no answer within 0.2 s" in hanging.verdict.found
    assert (hanging.result, fine.result) == (Result.FAILED, Result.OK)


def test_a_check_that_a_slow_machine_delays_ends_with_a_warning() -> None:
    never = Event()
    slow = Check(DISK, lambda: ok(str(never.wait())), budget_s=0.1, late=Result.WARNING)
    (finding,) = examine([slow])
    never.set()
    assert finding.result is Result.WARNING
    assert "machine's load" in finding.verdict.remedy


def test_what_needs_a_check_that_failed_is_skipped_for_its_own_subject_alone() -> None:
    checks = [
        Check(DATABASE, lambda: failed("away", "start it"), "a"),
        Check(CLOCK, lambda: ok(""), "a", needs=(DATABASE,)),
        Check(CLOCK, lambda: ok(""), "b", needs=(DATABASE,)),
        Check(DISK, lambda: warning("w", "r")),
        Check(CLOCK, lambda: ok(""), needs=(DISK,)),
    ]
    _, skipped_one, done, _, after_warning = examine(checks)
    assert skipped_one.verdict == skipped("database failed")
    assert (done.result, after_warning.result) == (Result.OK, Result.OK)


def test_what_the_caller_leaves_out_is_not_done_and_what_needs_it_is() -> None:
    left_out, done = examine(
        [Check(DATABASE, breaks), Check(CLOCK, lambda: ok(""), needs=(DATABASE,))],
        leave_out=[DATABASE],
    )
    assert "--skip" in left_out.verdict.found
    assert done.result is Result.OK


def test_secrets_are_hidden_wherever_they_stand() -> None:
    (finding,) = examine(
        [Check(DISK, lambda: failed("url:hunter2@host", "change hunter2"))], secrets=["hunter2", ""]
    )
    assert finding.verdict == failed(f"url:{HIDDEN}@host", f"change {HIDDEN}")


def test_failures_alone_make_the_exit_code() -> None:
    fine = examine([Check(DISK, lambda: ok("")), Check(CLOCK, lambda: warning("w", "r"))])
    assert exit_code(fine) == 0
    assert exit_code([*fine, *examine([Check(DISK, lambda: failed("f", "r"))])]) == 1


def test_the_table_and_the_json_tell_all_and_take_nothing_for_markup() -> None:
    findings = examine([Check(DISK, lambda: failed("[[peers]] of [red]", "mend it"), "a b")])
    told = StringIO()
    print_findings(Console(file=told, width=120), findings)
    for word in ("disk", "a b", "failed", "[[peers]] of [red]", "mend it", "1 failed"):
        assert word in told.getvalue()
    content = json.loads(json.dumps(as_json(findings)))
    assert content["ok"] is False
    assert content["counts"] == {"ok": 0, "warning": 0, "failed": 1, "skipped": 0}
    (one,) = content["findings"]
    assert (one["check"], one["subject"], one["result"]) == ("disk", "a b", "failed")
