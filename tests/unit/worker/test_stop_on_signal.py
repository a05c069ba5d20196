"""Signals end a service whatever it is doing when they come."""

import subprocess
import sys

import pytest

from tests.servers.product import clean_environment

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
