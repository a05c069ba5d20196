"""The table of layouts: what each looks like on disk and who reads it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.data import class_folders, dicom_folder, fracatlas, labelled_table, mura
from training.data.body_parts import LIMBS
from training.data.example import Example, LabelledFolder
from training.errors import DataError

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Layout:
    """One way in which labelled radiographs lie on disk.

    `looks_for` says in words what `recognises` tests; the last three are `LabelledFolder`'s.
    """

    name: str
    looks_for: str
    recognises: Callable[[Path], bool]
    read: Callable[[Path], Sequence[Example]]
    attribution: str = "own data"
    limits: tuple[str, ...] = ()
    body_parts: tuple[str, ...] = ()


LAYOUTS = (
    Layout(
        "fracatlas",
        "images.csv beside images/",
        fracatlas.recognises,
        fracatlas.read_fracatlas,
        fracatlas.ATTRIBUTION,
        fracatlas.LIMITS,
        LIMBS,
    ),
    Layout(
        "mura",
        "XR_…/patient…/study…_positive/image….png",
        mura.recognises,
        mura.read_mura,
        mura.ATTRIBUTION,
        mura.LIMITS,
    ),
    Layout(
        "dicom",
        "labels.csv with sop_instance_uid, or with paths of DICOM files",
        dicom_folder.recognises,
        dicom_folder.read_dicom_folder,
    ),
    Layout(
        "csv",
        "labels.csv with paths of pictures",
        labelled_table.recognises,
        labelled_table.read_labelled_table,
    ),
    Layout(
        "classes",
        "folders such as fractured/ and not_fractured/",
        class_folders.recognises,
        class_folders.read_class_folders,
    ),
)
"""In the order in which `auto` tries them."""


def read_labelled_folder(folder: Path, layout: str = AUTO) -> LabelledFolder:
    """All examples of `folder` by the layout of that name; `auto` takes the first that fits.

    Raises:
        DataError: no such folder or layout, none fits (the message says what was looked for), what
            the layout's reader refuses, or a file is named twice or lies outside the folder.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; --data names the folder of labelled radiographs")
    chosen = _detect(folder) if layout == AUTO else _by_name(layout)
    examples = tuple(chosen.read(folder))
    _refuse_strange_paths(folder, examples)
    return LabelledFolder(
        folder, chosen.name, examples, chosen.attribution, chosen.limits, chosen.body_parts
    )


def _by_name(name: str) -> Layout:
    for layout in LAYOUTS:
        if layout.name == name:
            return layout
    known = ", ".join((AUTO, *(layout.name for layout in LAYOUTS)))
    raise DataError(f"there is no layout {name!r}; known are {known}")


def _detect(folder: Path) -> Layout:
    for layout in LAYOUTS:
        if layout.recognises(folder):
            return layout
    looked_for = "; ".join(f"{layout.looks_for} ({layout.name})" for layout in LAYOUTS)
    raise DataError(f"{folder} has no known layout. Looked for: {looked_for}")


def _refuse_strange_paths(folder: Path, examples: Sequence[Example]) -> None:
    seen = set[Path]()
    for example in examples:
        inside = example.path.is_relative_to(folder)
        if not inside or ".." in example.path.relative_to(folder).parts:
            raise DataError(f"{example.path} lies outside {folder}; move it, or name that folder")
        if example.path in seen:
            raise DataError(f"{example.path} is labelled twice; keep one of its rows")
        seen.add(example.path)
