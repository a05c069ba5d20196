"""The supervisor with real processes: what dies is started again, and nothing is left behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from tests.servers.product import (
    MONITORING,
    PAGES,
    SERVICES,
    SWEEPING,
    MakeProduct,
    Product,
    clean_environment,
    command,
    wait_for,
)
from worker.supervisor import MODULES, all_processes


def children(parent: int) -> dict[str, int]:
    """Sub-command → process id of the services below a supervisor, as `ps` shows them."""
    listed = subprocess.run(
        ["ps", "-ww", "-eo", "pid=,ppid=,stat=,args="], capture_output=True, text=True, check=True
    ).stdout
    found = {}
    for line in listed.splitlines():
        pid, ppid, state, title = line.split(maxsplit=3)
        if int(ppid) == parent and title.startswith("fracture-screen ") and state[0] != "Z":
            found[title.split(".toml")[-1].strip()] = int(pid)
    return found


def alive(pids: list[int]) -> list[int]:
    """Those that still run; a zombie whose parent is gone does not count."""
    return [pid for pid in pids if (state := _state(pid)) and not state.startswith("Z")]


def _state(pid: int) -> str:
    shown = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return shown.stdout.strip()


@contextmanager
def running_up(product: Product) -> Iterator[subprocess.Popen[bytes]]:
    """`fracture-screen up`, with all its processes started."""
    with (product.folder / "log.jsonl").open("ab") as log:
        up = subprocess.Popen(
            command("--config", str(product.config), "up"),
            stderr=log,
            env=clean_environment(),
            start_new_session=True,
        )
    try:
        count = len(all_processes(1, product.settings.destination_names))
        wait_for(lambda: len(children(up.pid)) == count, "all have started", product.log)
        yield up
    finally:
        if up.poll() is None:
            up.terminate()
            up.wait(60)


def test_the_supervisor_runs_every_service() -> None:
    assert all_processes(1, ["pacs"]) == {
        "listener": ("listen", "--processes", "1"),
        "dispatcher": SERVICES["dispatcher"],
        "delivery worker": SERVICES["delivery worker"],
        **SWEEPING,
        **MONITORING,
        **PAGES,
    }


def test_each_of_several_destinations_has_a_delivery_worker_of_its_own() -> None:
    processes = all_processes(1, ["pacs", "research archive"])
    assert "delivery worker" not in processes
    assert processes["delivery worker research archive"] == (
        *SERVICES["delivery worker"],
        "--destination=research archive",
    )


SUPERVISE = """
import sys
from pathlib import Path
from worker import supervisor
from worker.logs import configure_logging
from worker.stopping import signal_pipe

configure_logging("test", catch_prints=False)
supervisor._FIRST_PAUSE_S = 0.1
made = supervisor.Supervisor(Path(sys.argv[1]), processes={processes!r})
for child in made._children:
    child.pause_s = 0.1
made.run(signal_pipe())
"""


@contextmanager
def supervised(
    product: Product, processes: dict[str, tuple[str, ...]]
) -> Iterator[subprocess.Popen[bytes]]:
    """A supervisor of its own processes, with short pauses."""
    program = SUPERVISE.replace("{processes!r}", repr(processes))
    with (product.folder / "log.jsonl").open("ab") as log:
        supervisor = subprocess.Popen(
            [sys.executable, "-c", program, str(product.config)],
            stderr=log,
            env=clean_environment(),
        )
    try:
        yield supervisor
    finally:
        supervisor.terminate()
        supervisor.wait(60)


LIGHT = {"listener": ("listen",), "dispatcher": ("dispatch",)}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_dies_is_started_again_and_the_others_stay(
    make_product: MakeProduct, number: signal.Signals
) -> None:
    product = make_product()
    with supervised(product, LIGHT) as supervisor:
        wait_for(product._answers, "the listener answers", product.log)
        wait_for(lambda: len(children(supervisor.pid)) == 2, "both run", product.log)
        before = children(supervisor.pid)
        os.kill(before["listen"], number)
        wait_for(
            lambda: children(supervisor.pid).get("listen", before["listen"]) != before["listen"],
            "the listener was started again",
        )
        wait_for(product._answers, "the listener answers again", product.log)
        assert children(supervisor.pid)["dispatch"] == before["dispatch"]
        assert supervisor.poll() is None
        pids = list(children(supervisor.pid).values())
    assert supervisor.returncode == 0
    assert alive(pids) == []
    (ended,) = product.events("process_ended")
    assert ended["name"] == "listener"
    assert ended["exit_code"] == (-number if number == signal.SIGKILL else 0)


def test_what_dies_at_once_is_started_again_after_growing_pauses(
    make_product: MakeProduct,
) -> None:
    product = make_product()
    with supervised(product, {"broken": ("no-such-command",)}):
        wait_for(lambda: len(product.events("process_ended")) >= 4, "four ends", product.log)
    ended = product.events("process_ended")[:4]
    assert {event["exit_code"] for event in ended} == {2}
    assert [event["restart_in_s"] for event in ended] == [0.2, 0.4, 0.8, 1.6]
    times = [datetime.fromisoformat(event["timestamp"]).timestamp() for event in ended]
    assert all(
        later - earlier >= event["restart_in_s"]
        for event, (earlier, later) in zip(ended, pairwise(times), strict=False)
    )


def test_a_supervisor_has_one_thread_and_no_connection_when_it_forks(
    make_product: MakeProduct,
) -> None:
    product = make_product()
    with running_up(product) as up:
        assert [task.name for task in Path(f"/proc/{up.pid}/task").iterdir()] == [str(up.pid)]
        opened = [os.readlink(file) for file in Path(f"/proc/{up.pid}/fd").iterdir()]
        assert not [name for name in opened if "socket:" in name or "sqlite" in name]


def test_a_service_inherits_neither_locks_nor_pipes(make_product: MakeProduct) -> None:
    product = make_product()
    lock = product.folder / "lock"
    program = SUPERVISE.replace("{processes!r}", repr({"dispatcher": ("dispatch",)}))
    held = f"import fcntl; lock = open({str(lock)!r}, 'w'); fcntl.flock(lock, fcntl.LOCK_EX)\n"
    with (product.folder / "log.jsonl").open("ab") as log:
        supervisor = subprocess.Popen(
            [sys.executable, "-c", held + program, str(product.config)],
            stderr=log,
            env=clean_environment(),
        )
    try:
        wait_for(lambda: children(supervisor.pid), "the dispatcher runs", product.log)
        (pid,) = children(supervisor.pid).values()
        opened = [os.readlink(file) for file in Path(f"/proc/{pid}/fd").iterdir()]
        assert str(lock) not in opened
    finally:
        supervisor.terminate()
        supervisor.wait(60)


def test_what_a_supervisor_imports_holds_no_inference_engine() -> None:
    modules = sorted({module for modules in MODULES.values() for module in modules})
    program = (
        f"import importlib, sys\nfor name in {modules}: importlib.import_module(name)\n"
        "print(*{'tensorflow', 'keras', 'onnxruntime', 'openvino', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=clean_environment()
    )
    assert done.stdout.strip() == "", done.stderr


def test_every_process_shows_its_sub_command(make_product: MakeProduct) -> None:
    product = make_product()
    with running_up(product) as up:
        wait_for(lambda: len(product.events("worker_started")) == 3, "workers run", product.log)
        shown = set(children(up.pid))
    assert shown == {" ".join(command) for command in all_processes(1, []).values()}


def test_the_listener_is_started_first() -> None:
    assert next(iter(all_processes(1, ["pacs"]))) == "listener"


@pytest.mark.parametrize("how", ["SIGTERM", "Ctrl-C"])
def test_a_stopped_product_leaves_no_process_behind(make_product: MakeProduct, how: str) -> None:
    product = make_product()
    with running_up(product) as up:
        wait_for(product._answers, "the listener answers", product.log)
        pids = list(children(up.pid).values())
        if how == "SIGTERM":
            up.terminate()
        else:  # a terminal sends it to the whole group
            os.killpg(up.pid, signal.SIGINT)
        assert up.wait(60) == 0
    assert alive(pids) == []


@pytest.mark.parametrize("when", ["while they start", "while they run"])
def test_the_processes_end_when_the_supervisor_is_killed(
    make_product: MakeProduct, when: str
) -> None:
    product = make_product()
    with running_up(product) as up:
        pids = list(children(up.pid).values())
        if when == "while they run":
            wait_for(lambda: product.events("worker_started")[1:], "workers run", product.log)
        up.kill()
        up.wait(10)
        wait_for(lambda: not alive(pids), "all processes ended", product.log)
