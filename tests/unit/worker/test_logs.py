"""The log: one JSON object per line, whoever writes it."""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.servers.product import clean_environment

SETUP = (
    "import logging, sys, threading, warnings, structlog\n"
    "from worker.logs import configure_logging\n"
    "configure_logging('listen')\n"
    "log = structlog.get_logger()\n"
)


def logged(code: str) -> list[dict[str, Any]]:
    """The lines that a fresh process writes; configuring ours would change the other tests'."""
    done = subprocess.run(
        [sys.executable, "-c", SETUP + code],
        capture_output=True,
        text=True,
        env=clean_environment(),
        check=True,
    )
    assert done.stdout == ""
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_an_event_is_a_line_with_level_time_and_process() -> None:
    (event,) = logged("log.info('study_screened', revision=2)")
    assert (event["event"], event["level"], event["process"]) == (
        "study_screened",
        "info",
        "listen",
    )
    assert event["revision"] == 2
    assert event["timestamp"].endswith("Z")


def test_a_thread_marks_its_events_with_the_process_too() -> None:
    (event,) = logged("t = threading.Thread(target=log.info, args=('x',)); t.start(); t.join()")
    assert event["process"] == "listen"


def test_a_trace_stays_on_one_line() -> None:
    (event,) = logged("try: 1 / 0\nexcept ZeroDivisionError: log.exception('broke')\n")
    assert "ZeroDivisionError" in event["exception"]


def test_the_warnings_of_libraries_come_in_the_same_form() -> None:
    (event,) = logged("logging.getLogger('celery.worker').warning('slow %s', 'broker')")
    assert (event["event"], event["level"], event["logger"], event["process"]) == (
        "slow broker",
        "warning",
        "celery.worker",
        "listen",
    )


def test_the_trace_of_a_library_comes_in_the_same_form() -> None:
    code = "try: 1 / 0\nexcept ZeroDivisionError: logging.getLogger('x').exception('broke')\n"
    (event,) = logged(code)
    assert event["event"] == "broke"
    assert "ZeroDivisionError" in event["exception"]


@pytest.mark.parametrize(
    "code",
    [
        "logging.getLogger('pydicom').warning('Doe^Jane')",
        "logging.getLogger('pynetdicom.assoc').error('Doe^Jane')",
        "warnings.warn('Doe^Jane')",
        "logging.getLogger('any').info('chatter')",
        "log.debug('chatter')",
    ],
)
def test_what_may_quote_a_patient_and_what_chatters_is_silent(code: str) -> None:
    assert logged(code) == []


@pytest.mark.parametrize(
    "code",
    [
        "print('Could not find cuda drivers')",
        "import os; os.write(2, b'Could not find cuda drivers\\n')",
        "import subprocess; subprocess.run(['echo', 'Could not find cuda drivers'])",
        "import sys; sys.stderr.write('Could not find cuda drivers')",
    ],
)
def test_what_a_library_prints_becomes_an_event(code: str) -> None:
    (event,) = logged(code)
    assert (event["event"], event["text"], event["process"]) == (
        "printed",
        "Could not find cuda drivers",
        "listen",
    )


def test_an_event_of_a_child_process_stays_as_it_is() -> None:
    child = 'import os; os.write(2, b\'{"event": "of a child"}\\n\')'
    assert logged(child) == [{"event": "of a child"}]


def test_a_crash_is_one_event_with_its_trace() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SETUP + "1 / 0"],
        capture_output=True,
        text=True,
        env=clean_environment(),
    )
    (event,) = [json.loads(line) for line in done.stderr.splitlines()]
    assert done.returncode == 1
    assert (event["event"], event["level"]) == ("unhandled_exception", "critical")
    assert "ZeroDivisionError" in event["exception"]


def test_a_crash_of_a_thread_is_one_event_that_names_it() -> None:
    (event,) = logged(
        "t = threading.Thread(target=lambda: 1 / 0, name='tidy'); t.start(); t.join()"
    )
    assert (event["event"], event["thread"]) == ("unhandled_exception", "tidy")


def test_lines_of_many_threads_and_of_libraries_never_mix() -> None:
    code = (
        "other = logging.getLogger('x')\n"
        "def write():\n"
        "    for _ in range(200):\n"
        "        log.info('a' * 500); other.warning('b' * 500)\n"
        "        sys.stdout.write('c' * 500 + chr(10))\n"
        "threads = [threading.Thread(target=write) for _ in range(8)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
    )
    assert len(logged(code)) == 8 * 200 * 3
