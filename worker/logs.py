"""One log format for every process: JSON lines on standard error, UTC, no patient data."""

import logging
import sys
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger


def configure_logging(
    process: str, stream: TextIO | None = None, *, level: int = logging.INFO
) -> None:
    """Send structlog from `level` up and libraries' warnings to `stream`, marked with `process`.

    None is standard error: standard output belongs to what commands print.
    """
    stream = stream or sys.stderr
    chain = _processors(process)
    as_json = structlog.processors.JSONRenderer(ensure_ascii=False)
    structlog.configure(
        processors=[*chain, as_json],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(stream),
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
