"""One log format for every process: JSON lines on standard error, UTC, no patient data."""

import atexit
import fcntl
import io
import json
import logging
import os
import sys
import threading
from functools import cache
from types import TracebackType
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

_log = structlog.get_logger(__name__)

_PIPE_BYTES = 1024 * 1024
"""So much may a library print while it keeps Python from reading it."""


def configure_logging(
    process: str,
    stream: TextIO | None = None,
    *,
    catch_prints: bool = True,
    level: int = logging.INFO,
) -> None:
    """Send structlog from `level` up and libraries' warnings to `stream`, marked with `process`.

    None is the standard error of a service. If that is no terminal, every line of it is a JSON
    object: whatever else is printed there or on standard output, by Celery, by a library in C or by
    a crash, becomes an event, too. A thread sees to that; a process that forks others has none, and
    passes False for `catch_prints`.
    """
    if stream is None:
        stream = log_stream() if catch_prints else sys.stderr
        sys.excepthook = _log_exception
        threading.excepthook = _log_exception_of_thread
    chain = _processors(process)
    as_json = structlog.processors.JSONRenderer(ensure_ascii=False)
    structlog.configure(
        processors=[*chain, as_json],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(stream),  # a line is one write
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *chain],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, as_json],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in _SILENT:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.captureWarnings(True)


def log_failure(message: str) -> bool:
    """Log why a service ends; False: this process is a command for people, which logs nothing."""
    if _is_service():
        _log.error("service_failed", reason=message)
    return _is_service()


def _is_service() -> bool:
    return sys.excepthook is _log_exception


@cache
def log_stream() -> TextIO:
    """Return where a service logs to: what standard error was when it started."""
    outputs = {1: sys.stdout, 2: sys.stderr}
    if sys.stderr is not sys.__stderr__ or os.isatty(2):
        return sys.stderr
    stream = os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8", errors="backslashreplace")
    read_end, write_end = os.pipe()
    fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    replaced = {number: os.dup(number) for number in (1, 2) if not os.isatty(number)}
    for number in replaced:
        os.dup2(write_end, number)
        if isinstance(output := outputs[number], io.TextIOWrapper):
            output.reconfigure(line_buffering=True)
    os.close(write_end)
    reader = threading.Thread(
        target=_log_lines, args=(read_end, stream), daemon=True, name="log-printed-lines"
    )
    reader.start()
    atexit.register(_end_reading, reader, replaced)
    return stream


def _log_lines(read_end: int, stream: TextIO) -> None:
    with open(read_end, encoding="utf-8", errors="backslashreplace") as printed:
        for line in printed:
            text = line.strip()
            if _is_event(text):
                stream.write(text + "\n")
            elif text:
                _log.info("printed", text=text)


def _is_event(text: str) -> bool:
    try:
        return text.startswith("{") and isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _end_reading(reader: threading.Thread, replaced: dict[int, int]) -> None:
    """Log what was printed last; children may hold the pipe open, so not for long."""
    for number, original in replaced.items():
        os.dup2(original, number)
    reader.join(1)


def _log_exception(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        _log.critical("unhandled_exception", exc_info=(kind, error, trace))


def _log_exception_of_thread(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_value is not None and not isinstance(arguments.exc_value, SystemExit):
        _log.critical(
            "unhandled_exception",
            thread=arguments.thread.name if arguments.thread else None,
            exc_info=(arguments.exc_type, arguments.exc_value, arguments.exc_traceback),
        )


def _processors(process: str) -> list[Processor]:
    def mark(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        # A context variable would be missing in the threads of the listener.
        return {"process": process, **event}

    return [
        mark,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]


_SILENT = (
    "pydicom",  # warns with element values, which may be a patient's
    "py.warnings",
    "pynetdicom",  # what it reports as errors, we log with more context
    "kombu.connection",  # the filesystem transport has no host name
)
