"""How a service learns that it has to end: by a signal, or because its supervisor is gone."""

import os
import select
import signal
import threading
import time
from collections.abc import Callable
from threading import Event

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

_PARENT_POLL_S = 1.0


def stop_on_signal(on_stop: Callable[[], None] = lambda: None) -> Event:
    """Return an event that SIGTERM and SIGINT set; then `on_stop` is called in a thread.

    A Python handler runs only when the main thread wakes, which a signal that another thread
    received does not make it do; and one that set the event itself would wait for ever if it
    interrupted the event's own lock. So a thread waits for what the interpreter writes at once.
    """
    stop, signals = Event(), signal_pipe()

    def wait() -> None:
        while os.read(signals, 1)[0] not in STOP_SIGNALS:
            pass
        stop.set()
        on_stop()

    threading.Thread(target=wait, daemon=True, name="stop-on-signal").start()
    return stop


def signal_pipe() -> int:
    """Return a descriptor that the number of each SIGTERM and SIGINT can be read from."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    return read_end


def end_with(supervisor: int) -> None:
    """Send ourselves SIGTERM when the supervisor (a process id) is gone, however it died."""

    def watch() -> None:
        _wait_for_end_of(supervisor)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True, name="end-with-supervisor").start()


def _wait_for_end_of(parent: int) -> None:
    try:
        descriptor = os.pidfd_open(parent)
    except ProcessLookupError:
        return
    except OSError:  # Linux before 5.3, or a sandbox that forbids it
        while os.getppid() == parent:
            time.sleep(_PARENT_POLL_S)
        return
    # Had the parent ended before, the number could be that of another process.
    if os.getppid() == parent:
        ended = select.poll()
        ended.register(descriptor, select.POLLIN)
        ended.poll()
    os.close(descriptor)
