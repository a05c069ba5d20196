"""One log format for every process: JSON lines on standard error, UTC, no patient data."""

import logging
import sys
from typing import TextIO

import structlog


def configure_logging(process: str, stream: TextIO | None = None) -> None:
    """Send structlog and the libraries' warnings to `stream`, marked with `process`.

    None is standard error: standard output belongs to what commands print.
    """
    stream = stream or sys.stderr
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)
    logging.basicConfig(level=logging.WARNING, stream=stream, force=True)
    for name in _SILENT:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.captureWarnings(True)


_SILENT = (
    "pydicom",  # warns with element values, which may be a patient's
    "py.warnings",
    "pynetdicom",  # what it reports as errors, we log with more context
    "kombu.connection",  # the filesystem transport has no host name
)
