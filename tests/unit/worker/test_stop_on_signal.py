"""Signals end a service whatever it is doing when they come."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.servers.product import clean_environment, wait_for

SETUP = "import signal\nfrom worker.stopping import stop_on_signal\nstop = stop_on_signal()\n"


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
def test_a_signal_sets_the_event(number: str) -> None:
    run(f"signal.raise_signal(signal.{number})\nassert stop.wait(10)\n")


def test_a_signal_that_interrupts_the_events_own_lock_blocks_nothing() -> None:
    run("with stop._cond:\n    signal.raise_signal(signal.SIGTERM)\nassert stop.wait(10)\n")


def test_many_signals_are_as_good_as_one() -> None:
    run("for _ in range(100): signal.raise_signal(signal.SIGINT)\nassert stop.wait(10)\n")


def run(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SETUP + code],
        capture_output=True,
        text=True,
        env=clean_environment(),
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_a_signal_that_another_thread_received_wakes_the_waiting_main_thread() -> None:
    run(
        "import threading\n"
        "def kill(): signal.pthread_kill(threading.get_ident(), signal.SIGTERM)\n"
        "threading.Timer(0.3, kill).start()\n"
        "assert stop.wait(20)\n"
    )


def test_whoever_asked_is_called_once_a_signal_came() -> None:
    run(
        "import threading\n"
        "from worker.stopping import stop_on_signal\n"
        "called = threading.Event()\n"
        "stop_on_signal(called.set)\n"
        "signal.raise_signal(signal.SIGTERM)\n"
        "assert called.wait(10)\n"
    )


@pytest.mark.parametrize("kernel", ["with pidfd_open", "without"])
def test_a_service_ends_when_its_supervisor_is_gone(kernel: str) -> None:
    without = (
        "def refuse(*_): raise OSError(38, 'not implemented')\n"
        "os.pidfd_open = refuse\n"
        "import worker.stopping; worker.stopping._PARENT_POLL_S = 0.05\n"
    )
    service = (
        "import os, signal, sys, time\n"
        + (without if kernel == "without" else "")
        + "from worker.stopping import end_with\n"
        "end_with(os.getppid())\n"
        "print(os.getpid(), flush=True)\n"
        "time.sleep(60)\n"
    )
    supervisor = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {service!r}])"
    with subprocess.Popen(
        [sys.executable, "-c", supervisor],
        stdout=subprocess.PIPE,
        text=True,
        env=clean_environment(),
    ) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        time.sleep(0.3)
        os.kill(pid, 0)
        process.kill()
        process.wait()
        ended = process.stdout.read()  # until the service, too, has closed its end
    assert ended == ""
    wait_for(lambda: not Path(f"/proc/{pid}/exe").exists(), "the service ended", patience_s=10)
