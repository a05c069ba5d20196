"""What importing the package costs, and what it must never pull in."""

import pkgutil
import subprocess
import sys

import models
from tests.paths import REPOSITORY

UNWANTED = ("keras", "tensorflow", "pydicom", "pynetdicom", "sqlalchemy", "celery")

IMPORT_AND_LIST = """
import importlib, sys
for name in sys.argv[1].split(","):
    importlib.import_module(name)
print("\\n".join(sys.modules))
"""


def test_importing_every_module_loads_no_network_library_and_nothing_of_other_leaves() -> None:
    """A card is read, a page is shown and a command is parsed without TensorFlow's seconds."""
    names = [found.name for found in pkgutil.walk_packages(models.__path__, "models.")]
    assert {"models.classifier", "models.bundle", "models.engine"} <= set(names)
    finished = subprocess.run(
        [sys.executable, "-c", IMPORT_AND_LIST, ",".join(names)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {line.split(".")[0] for line in finished.stdout.splitlines()}
    assert "models" in loaded
    assert loaded.isdisjoint(UNWANTED)
