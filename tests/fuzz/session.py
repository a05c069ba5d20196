"""What both drivers share: running cases one by one, counting them, keeping what is found."""

import argparse
import faulthandler
import json
import logging
import shutil
import sys
import time
import traceback
import warnings
from collections import deque
from collections.abc import MutableMapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn

import structlog

from tests.fuzz.targets import KINDS

_HANG_S = 90.0
_REMEMBERED = 32
"""Cases written beside a finding: a listener may show late what an earlier one did to it."""


class Session:
    """One driver's run of one target. Findings go to `folder`, and the present case for a crash."""

    def __init__(self, name: str, folder: Path) -> None:
        self.cases = self.findings = 0
        self._name, self._folder = name, folder
        self._scratch = folder / f"scratch-{name}"
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.mkdir(parents=True)
        self._recent: deque[bytes] = deque(maxlen=_REMEMBERED)
        self._failure: tuple[bytes, BaseException] | None = None
        self._began = time.monotonic()
        self.seeds = KINDS[name].seeds(self._scratch)
        self._target = KINDS[name].open(self._scratch)

    def run(self, case: bytes) -> None:
        """Run a case; what it raises is remembered for `keep_failure` and raised."""
        self.cases += 1
        self._recent.append(case)
        (self._scratch / "current").write_bytes(case)
        # A case that hangs ends the process; the one who started it knows the case from its file.
        faulthandler.dump_traceback_later(_HANG_S, exit=True)
        try:
            self._target.run(case)
        except Exception as error:
            self._failure = case, error
            raise
        finally:
            faulthandler.cancel_dump_traceback_later()

    def keep_failure(self) -> None:
        """Write the last case that failed, why, and those before it."""
        if self._failure is None:
            return
        (case, error), self._failure = self._failure, None
        path = self._folder / f"{self._name}-{sha256(case).hexdigest()[:12]}"
        path.write_bytes(case)
        path.with_suffix(".txt").write_text("".join(traceback.format_exception(error)))
        before = path.with_suffix(".before")
        before.mkdir(exist_ok=True)
        for number, each in enumerate(self._recent):
            (before / f"{number:02}").write_bytes(each)
        self.findings += 1
        print(f"finding: {path}: {error!r}"[:500], file=sys.stderr, flush=True)

    def result(self) -> str:
        """Close the target; the figures as a line of JSON."""
        try:
            self._target.check()
        except Exception as error:
            self._failure = self._recent[-1] if self._recent else b"", error
            self.keep_failure()
        seconds = time.monotonic() - self._began
        self._target.close()
        shutil.rmtree(self._scratch, ignore_errors=True)
        figures = {"cases": self.cases, "seconds": seconds, "findings": self.findings}
        return json.dumps({**figures, "notes": dict(self._target.notes)})


def arguments() -> argparse.Namespace:
    """Of a driver's command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--target", choices=KINDS, required=True)
    parser.add_argument("--runs", type=int, required=True, help="cases to run")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--findings", type=Path, required=True, help="folder for what is found")
    return parser.parse_args()


def silence() -> None:
    """The product and its libraries comment on every case; keep that out of the way."""
    warnings.simplefilter("ignore")
    structlog.configure(processors=[_drop])
    logging.getLogger("pydicom").addHandler(logging.NullHandler())
    logging.getLogger("pydicom").propagate = False


def _drop(logger: Any, name: str, event: MutableMapping[str, Any]) -> NoReturn:
    # Any: structlog's types.
    raise structlog.DropEvent
