"""Judge by dciodvfy the results that we would make of every DICOM header in folders.

`python -m tests.bench.dirty_headers FOLDER…` prints each error with how many headers gave it. What
identifies patient and study is copied as the source has it, so its errors stay.
"""

import sys
import tempfile
from collections import Counter
from pathlib import Path

from dicom_node.errors import DicomNodeError
from dicom_node.header import read_header
from tests.unit.dicom_node.test_results import _capture, _report, _written
from tests.validators import dciodvfy_errors

_LONGEST = 120


def judge(folders: list[Path]) -> tuple[int, Counter[str]]:
    """Return the number of headers of study and instance, and each error's number of results."""
    errors: Counter[str] = Counter()
    headers = 0
    with tempfile.TemporaryDirectory() as made:
        for path in (path for folder in folders for path in folder.rglob("*") if path.is_file()):
            try:
                header = read_header(path)
            except DicomNodeError:
                continue
            if "SOPInstanceUID" not in header or "StudyInstanceUID" not in header:
                continue
            headers += 1
            for result in (_capture(header), _report(header)):
                found = dciodvfy_errors(_written(result, Path(made) / "result.dcm"))
                errors.update(error[:_LONGEST] for error in found)
    return headers, errors


if __name__ == "__main__":
    count, found = judge([Path(argument) for argument in sys.argv[1:]])
    print(f"{count} headers, {found.total()} errors")
    for error, results in found.most_common():
        print(f"{results:5} {error}")
