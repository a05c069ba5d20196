"""One listener under attack for all tests of this folder, and certificates for both sides."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.security.target import Target, running_target
from tests.unit.dicom_node.instances import radiograph_dataset, write_instance
from worker.certificates import make_certificates


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """authority, screen, attacker, innocent and modality.hospital; made once."""
    folder = tmp_path_factory.mktemp("certificates")
    names = ["SCREEN", "ATTACKER", "INNOCENT", "modality.hospital"]
    make_certificates(folder, names, ["localhost", "127.0.0.1"])
    return folder


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory, certificates: Path) -> Iterator[Target]:
    """A listener in a process of its own, deadlines of 2 s."""
    with running_target(tmp_path_factory.mktemp("target"), certificates) as running:
        yield running


@pytest.fixture(scope="session")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the innocent peer stores."""
    return write_instance(radiograph_dataset(), tmp_path_factory.mktemp("in") / "a.dcm")
