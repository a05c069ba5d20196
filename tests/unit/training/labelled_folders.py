"""FracAtlas-like folders and small training runs, drawn and built by the tests."""

import csv
from pathlib import Path

import cv2
import numpy as np

from models.architectures import Architecture, KerasModel
from models.preprocessing import Preprocessing, Shape
from training.augmentation import Augmentation
from training.data.example import Example
from training.recipe import Recipe

COLUMNS = (
    "image_id", "fractured", "region", "frontal", "lateral", "oblique", "hardware", "width",
    "height", "original_width", "original_height", "duplicate_group", "id_block",
)  # fmt: skip
TINY = "tiny_for_tests"
INPUT_SIZE = 32


def make_rows(count: int) -> list[dict[str, str]]:
    """Every second radiograph is fractured; two neighbours are a block; number 1 shows metal."""
    rows = []
    for number in range(count):
        row = dict.fromkeys(COLUMNS, "0")
        row |= {
            "image_id": f"IMG{number:07d}.png",
            "fractured": str(number % 2),
            "region": "hand",
            "hardware": str(int(number == 1)),
            "duplicate_group": str(1000 + number),
            "id_block": str(number // 2),
        }
        rows.append(row)
    return rows


def write_table(folder: Path, rows: list[dict[str, str]]) -> Path:
    with (folder / "images.csv").open("w", newline="") as table:
        writer = csv.DictWriter(table, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder / "images.csv"


def draw_fracatlas(folder: Path, count: int = 24) -> Path:
    """Pictures of different sizes; in the fractured ones most of the area is bright."""
    (folder / "images").mkdir(parents=True)
    rows = make_rows(count)
    write_table(folder, rows)
    random = np.random.default_rng(42)
    for number, row in enumerate(rows):
        height, width = 40 + 3 * (number % 5), 48 - 5 * (number % 4)
        share = 0.75 if row["fractured"] == "1" else 0.25
        bright = random.permutation(height * width) < share * height * width
        grey = np.where(bright, 200, 40).reshape(height, width)
        cv2.imwrite(str(folder / "images" / row["image_id"]), grey.astype(np.uint8))
    return folder


def draw_boxes(folder: Path) -> Path:
    """The same box in every fractured radiograph of a folder that `draw_fracatlas` drew."""
    with (folder / "images.csv").open(newline="") as table:
        fractured = [row["image_id"] for row in csv.DictReader(table) if row["fractured"] == "1"]
    lines = ["image_id,x,y,width,height", *(f"{name},5,5,12,9" for name in fractured)]
    (folder / "fracture_boxes.csv").write_text("\n".join(lines) + "\n")
    return folder


def make_example(number: int, *, fractured: bool, groups: tuple[str, ...]) -> Example:
    return Example(Path(f"IMG{number:07d}.jpg"), fractured, groups)


def tiny_backbone(shape: Shape) -> KerasModel:
    """Two convolutions with batch normalisation between them: trains within seconds.

    With the recipe's hidden layer it has a kernel that is large enough to be stored as float16.
    """
    import keras

    pixels = keras.Input((*shape, 3))
    narrow = keras.layers.Conv2D(6, 3, strides=4, padding="same", name="conv1")(pixels)
    normalised = keras.layers.BatchNormalization(name="bn1")(narrow)
    active = keras.layers.ReLU(name="relu1")(normalised)
    deep = keras.layers.Conv2D(64, 3, strides=2, padding="same", name="conv2")(active)
    return keras.Model(pixels, keras.layers.ReLU(name="relu2")(deep))


def make_recipe(*, epochs: int = 1, seed: int = 7) -> Recipe:
    """Trains within seconds, with dropout and every augmentation of paper A."""
    return Recipe(
        architecture=Architecture(TINY, INPUT_SIZE, hidden_units=96, dropout=0.2),
        preprocessing=Preprocessing(INPUT_SIZE),
        augmentation=Augmentation(rotation_degrees=5.0, shear_degrees=2.0, zoom=0.05),
        epochs=epochs,
        learning_rate=0.02,
        batch_size=4,
        seed=seed,
    )
