"""Where the tests find things that are not part of the repository."""

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED_DATA = REPOSITORY.parent / "shared" / "data"

needs_shared_data = pytest.mark.skipif(
    not SHARED_DATA.is_dir(),
    reason=f"needs the radiographs of {SHARED_DATA.name}/ beside the repository (docs/development)",
)
