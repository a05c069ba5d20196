"""Pictures for the worklist, of files as the pipeline writes them."""

from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset

from db.outcomes import Grade
from dicom_node.encapsulated_pdf import build_encapsulated_pdf
from dicom_node.errors import DicomNodeError
from dicom_node.radiograph import PixelLimits, read_radiographs
from dicom_node.result_file import write_result
from dicom_node.result_identity import ResultIdentity
from dicom_node.secondary_capture import build_secondary_capture
from tests.unit.dicom_node.instances import put_pixels, radiograph_dataset, write_instance
from worker.overlay import OverlayCaption, render_map, render_overlay, render_radiograph
from worker.worklist_pictures import RenderedPictures

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
CAPTION = OverlayCaption("net", "1", Grade.LIKELY, 0.9, "HAND")
PDF = b"%PDF-1.7\nodd"


def identity() -> ResultIdentity:
    return ResultIdentity("2.25.1", "2.25.2", 9001, 1, "AI", "net", "1", "2.25.3", "0.1")


class Folder:
    """A data folder with one radiograph, which counts how often it is read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.read_times = 0
        self.dataset = radiograph_dataset(1)
        random = np.random.default_rng(1)
        put_pixels(self.dataset, random.integers(0, 4096, (600, 400), np.uint16))
        write_instance(self.dataset, folder / "radiograph.dcm")

    def read(self, path: Path, **rest: object) -> list[object]:
        self.read_times += 1
        return list(read_radiographs(path, **rest))  # type: ignore[arg-type]

    def pictures(self, cache_bytes: int = 2**24) -> RenderedPictures:
        return RenderedPictures(self.folder, self.read, PixelLimits(), cache_bytes)  # type: ignore[arg-type]

    @property
    def pixels(self) -> NDArray[np.float32]:
        return read_radiographs(
            self.folder / "radiograph.dcm", limits=PixelLimits(), scope={"HAND"}
        )[0].pixels

    def write(self, result: Dataset, name: str) -> str:
        write_result(result, self.folder / name)
        return name


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def decoded(png: bytes) -> NDArray[np.uint8]:
    return np.asarray(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED), np.uint8)


def test_a_radiograph_is_drawn_as_its_heatmap_draws_it(folder: Folder) -> None:
    drawn = decoded(folder.pictures().radiograph("radiograph.dcm", 1))
    assert np.array_equal(drawn, render_radiograph(folder.pixels))


def test_a_heatmap_comes_without_its_caption_and_with_what_it_shows(folder: Folder) -> None:
    saliency = np.linspace(0, 1, 600 * 400, dtype=np.float32).reshape(600, 400)
    rgb = render_overlay(folder.pixels, saliency, CAPTION)
    result = build_secondary_capture(
        folder.dataset, rgb, identity=identity(), derivation_description="x", now=NOW
    )
    path = folder.write(result, "heatmap.dcm")
    shown = decoded(folder.pictures().heatmap(path, 600, 400))[:, :, ::-1]
    assert np.array_equal(shown, render_map(render_radiograph(folder.pixels), saliency))
    uid = str(folder.dataset.SOPInstanceUID)
    assert folder.pictures().heatmap_source(path) == (uid, 1)


def test_a_report_is_its_pdf_to_the_byte(folder: Folder) -> None:
    result = build_encapsulated_pdf(
        folder.dataset, PDF, sources=[], title="x", identity=identity(), now=NOW
    )
    assert folder.pictures().report(folder.write(result, "report.dcm")) == PDF


def test_a_body_part_outside_the_models_scope_may_be_looked_at(folder: Folder) -> None:
    folder.dataset.BodyPartExamined = "SKULL"
    write_instance(folder.dataset, folder.folder / "skull.dcm")
    assert decoded(folder.pictures().radiograph("skull.dcm", 1)).shape == (768, 512)


@pytest.mark.parametrize("path", ["gone.dcm", "radiograph.dcm", "text.dcm"])
def test_what_is_gone_or_something_else_is_told_as_our_own_error(folder: Folder, path: str) -> None:
    (folder.folder / "text.dcm").write_text("no DICOM")
    pictures = folder.pictures()
    for ask in (pictures.report, pictures.heatmap_source, lambda one: pictures.heatmap(one, 9, 9)):
        with pytest.raises(DicomNodeError):
            ask(path)
    with pytest.raises(DicomNodeError):
        pictures.radiograph(path, 2)


def test_a_picture_is_read_once_as_long_as_there_is_room(folder: Folder) -> None:
    pictures = folder.pictures()
    first = pictures.radiograph("radiograph.dcm", 1)
    assert pictures.radiograph("radiograph.dcm", 1) == first
    assert folder.read_times == 1
    crowded = folder.pictures(cache_bytes=len(first) - 1)
    for _ in range(2):
        crowded.radiograph("radiograph.dcm", 1)
    assert folder.read_times == 3
