"""`fracture-screen up` as a child process on free loopback ports, watched while it runs."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dicom_node.instance import RemoteAE
from worker.demonstration.product_log import EndedProcess, ProductLog, told
from worker.demonstration.stand_in_pacs import AE_TITLE as PACS_AE_TITLE
from worker.errors import DemoFailed
from worker.settings import Settings, load_settings

PROCESS = "demo"
"""What the demonstration's own lines in the log are marked with."""
SETTINGS_FILE, LOG_FILE = "settings.toml", "log.jsonl"
_AE_TITLE = "FRACTURESCREEN"
_LOOPBACK = "127.0.0.1"
_PORT_CHOICES = 5
"""A free port may be taken by another program before ours opens it: then others are chosen."""
_ENDS_BEFORE_GIVING_UP = 2
_STOP_GRACE_S = 60.0
_LOG_COLUMNS = "1000"
"""So that a message for a terminal is one line of the log."""


class Product:
    """The product's processes and their log.

    Started again with other ports where another program took one. `check` must be called often.
    """

    def __init__(self, out: Path, pacs_port: int) -> None:
        self._out, self._pacs_port = out, pacs_port
        self._starts = 0
        self._reported = 0
        self._start()

    @property
    def node(self) -> RemoteAE:
        """The product's listener."""
        listener = self.settings.listener
        return RemoteAE(listener.ae_title, listener.host, listener.port)

    @property
    def milestones(self) -> tuple[int, int]:
        """Changes whenever a process gets on with its start or its work."""
        return self._starts, self._log.milestones

    @property
    def listens(self) -> bool:
        """Whether our own listener, not another program's, has opened its port."""
        return self.settings.listener.port in self._log.listening_ports

    @property
    def last_words(self) -> str:
        """The last warnings and errors of all processes."""
        words = self._log.last_words
        return told(words) if words else "The processes wrote no warning or error."

    def check(self) -> None:
        """Raise DemoFailed, with last words, if a process cannot run; all are stopped then.

        One end is forgiven: the supervisor starts that process again. A port that another program
        took meanwhile is no failure: everything is started again with other ports.
        """
        exit_code = self._process.poll()
        self._log.read()
        failure = self._failure(exit_code)
        if failure is None:
            return
        self.stop()
        if self._starts < _PORT_CHOICES and self._lost_a_port(failure):
            self._start()
            return
        raise DemoFailed(f"{failure}\nThe whole log: {self._out / LOG_FILE}")

    def new_ends(self) -> list[EndedProcess]:
        """Return the processes that have ended since the last call, which are started again.

        Raises:
            DemoFailed: the supervisor itself has ended.
        """
        exit_code = self._process.poll()
        self._log.read()
        if exit_code is not None:
            raise DemoFailed(str(EndedProcess("supervisor", exit_code, self._log.last_words)))
        new = self._log.ended[self._reported :]
        self._reported = len(self._log.ended)
        return new

    def stop(self) -> None:
        """Stop all processes and wait for their end."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_GRACE_S)
        except subprocess.TimeoutExpired:  # its children end with it
            self._process.kill()
            self._process.wait()

    def _start(self) -> None:
        self._starts += 1
        self.settings = _write_settings(self._out, self._pacs_port)
        log = self._out / LOG_FILE
        self._log = ProductLog(log, PROCESS)
        config = str(self._out / SETTINGS_FILE)
        command = [sys.executable, "-m", "worker.cli", "--config", config, "up"]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*command, "--supervisor", str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, "COLUMNS": _LOG_COLUMNS},
            )

    def _failure(self, exit_code: int | None) -> EndedProcess | None:
        names = [ended.name for ended in self._log.ended]
        for ended in self._log.ended:
            if ended.is_refusal or names.count(ended.name) >= _ENDS_BEFORE_GIVING_UP:
                return next(last for last in reversed(self._log.ended) if last.name == ended.name)
        if exit_code is not None:
            return EndedProcess("supervisor", exit_code, self._log.last_words)
        return None

    def _lost_a_port(self, failure: EndedProcess) -> bool:
        """Whether another program has one of our ports; all of our processes have ended."""
        if any("in use" in word for word in failure.last_words):
            return True
        settings = self.settings
        ports = (settings.listener.port, settings.worklist.port, settings.monitor.port)
        return not all(_is_free(port) for port in ports)


@contextmanager
def running_product(out: Path, pacs_port: int) -> Iterator[Product]:
    """Start the product with its data in `out`/data, and stop it at the end."""
    product = Product(out, pacs_port)
    try:
        yield product
    finally:
        product.stop()


def _write_settings(out: Path, pacs_port: int) -> Settings:
    """Write the settings that all processes read.

    The deadlines are generous: on a busy machine the demonstration is slow, and loses nothing.
    """
    file = out / SETTINGS_FILE
    listener, worklist, monitor = _free_ports(3)
    file.write_text(
        f"""\
data_folder = "{(out / "data").resolve()}"

[listener]
ae_title = "{_AE_TITLE}"
host = "{_LOOPBACK}"
port = {listener}

[study]
quiet_period_s = 1.0
lease_s = 900.0

[limits]
decoder_timeout_s = 600.0

[worklist]
host = "{_LOOPBACK}"
port = {worklist}
secure_cookies = false # not every browser keeps them on http://127.0.0.1

[monitor]
host = "{_LOOPBACK}"
port = {monitor}

[delivery]
first_backoff_s = 2.0
maximum_backoff_s = 10.0
maximum_tries = 1000
timeout_s = 120.0

[[destinations]]
name = "stand-in PACS"
ae_title = "{PACS_AE_TITLE}"
host = "{_LOOPBACK}"
port = {pacs_port}
"""
    )
    return load_settings(file)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server((_LOOPBACK, 0)) for _ in range(count)]
    ports = [int(opened.getsockname()[1]) for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


def _is_free(port: int) -> bool:
    try:
        socket.create_server((_LOOPBACK, port)).close()
    except OSError:
        return False
    return True
