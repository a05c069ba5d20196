"""What the worklist does not start before somebody needs it."""

import os
from pathlib import Path

from worker.composition import open_database
from worker.settings import Settings
from worker.worklist_parts import make_parts


def test_the_child_that_reads_radiographs_starts_with_the_first_picture(tmp_path: Path) -> None:
    settings = Settings(data_folder=tmp_path)
    before = _children()
    engine = open_database(settings)
    try:
        make_parts(settings, engine)
        assert _children() == before
    finally:
        engine.dispose()


def _children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())
