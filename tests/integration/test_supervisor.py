"""The supervisor with real processes: what dies is started again, and nothing is left behind."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

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
from worker.supervisor import Supervisor, all_processes


def children(parent: int) -> dict[str, int]:
    """Sub-command → process id of our services below a process."""
    listed = subprocess.run(
        ["ps", "-ww", "-eo", "pid=,ppid=,stat=,args="], capture_output=True, text=True, check=True
    ).stdout
    found = {}
    for line in listed.splitlines():
        pid, ppid, state, arguments = line.split(maxsplit=3)
        if int(ppid) == parent and "--supervisor" in arguments and not state.startswith("Z"):
            found[arguments.split("--supervisor")[0].split(".toml")[-1].strip()] = int(pid)
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


def test_a_process_that_dies_is_started_again_and_the_others_stay(
    make_product: MakeProduct, monkeypatch: pytest.MonkeyPatch
) -> None:
    light = {"listener": ("listen",), "dispatcher": ("dispatch",)}
    monkeypatch.setattr("worker.supervisor._FIRST_PAUSE_S", 0.1)
    product, stop = make_product(), Event()
    with (product.folder / "log.jsonl").open("a") as log:
        thread = Thread(
            target=Supervisor(product.config, processes=light, log=log).run, args=(stop,)
        )
        thread.start()
        try:
            wait_for(product._answers, "the listener answers", product.log)
            before = children(os.getpid())
            os.kill(before["listen"], signal.SIGKILL)
            wait_for(
                lambda: children(os.getpid()).get("listen", before["listen"]) != before["listen"],
                "the listener was started again",
            )
            wait_for(product._answers, "the listener answers again", product.log)
            assert children(os.getpid())["dispatch"] == before["dispatch"]
        finally:
            stop.set()
            thread.join(60)
    assert not thread.is_alive()
    assert children(os.getpid()) == {}


def test_what_dies_at_once_is_started_again_after_growing_pauses(
    make_product: MakeProduct, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.supervisor._FIRST_PAUSE_S", 0.05)
    supervisor = Supervisor(make_product().config, processes={"broken": ("no-such-command",)})
    (child,) = supervisor._children
    pauses = []
    for _ in range(3):
        child.start_after = 0.0
        supervisor._tend(child)
        assert child.process is not None
        child.process.wait(60)
        supervisor._tend(child)
        pauses.append(child.pause_s)
    assert pauses[0] < pauses[1] < pauses[2]


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
