"""The peer of `tests.bench.screening`: what a plain sequential script does for the same study.

pydicom reads, Keras' `predict` scores, Grad-CAM++ comes from a GradientTape, matplotlib draws the
overlay, pydicom and reportlab write: one Secondary Capture per flagged radiograph, one PDF per
study. Network, weights and operating point are the bundle's. It takes no care of anything: no
limits, no windows, no scope, no durable files.

It is run as a process of its own that reads a study's paths per line and answers with its seconds.
"""

import json
import sys
import time
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import keras
import matplotlib as mpl
import numpy as np
import pydicom
import tensorflow as tf
from matplotlib import pyplot as plt
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid
from reportlab.lib.pagesizes import A4
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from models.architectures import build, log_odds
from models.bundle import ModelBundle, load_bundle
from models.keras_weights import set_weights
from worker.settings import load_settings

Array = np.ndarray[Any, Any]
"""Any: a script does not say."""


@dataclass
class Scored:
    """A radiograph, what the network says, and its overlay if it is flagged."""

    source: pydicom.Dataset
    probability: float
    overlay: Array | None


def main(out: Path) -> None:
    """Load the network; then a study per line: a JSON list of paths in, its seconds out."""
    mpl.use("Agg")
    bundle = load_bundle(load_settings().model.bundle)
    network = build(bundle.architecture)
    set_weights(network, bundle.weights)
    for line in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        screen_study([Path(path) for path in json.loads(line)], network, bundle, out)
        seconds = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        print(json.dumps(seconds), flush=True)


def screen_study(paths: list[Path], network: Any, bundle: ModelBundle, out: Path) -> None:
    """Write the study's heatmaps and report into `out`."""
    scored = [screen(path, network, bundle) for path in paths]
    for number, radiograph in enumerate(scored):
        if radiograph.overlay is not None:
            write_secondary_capture(radiograph, out / f"heatmap-{number}.dcm")
    write_report(scored, out / "report.pdf")


def screen(path: Path, network: keras.Model, bundle: ModelBundle) -> Scored:
    """Read, predict, explain and draw one radiograph."""
    source = pydicom.dcmread(path)
    pixels = source.pixel_array.astype(np.float32)
    grey = (pixels - pixels.min()) / (pixels.max() - pixels.min())
    rows, columns = bundle.architecture.shape
    batch = np.repeat(cv2.resize(grey, (columns, rows))[None, :, :, None], 3, axis=3) * 2 - 1
    _, logits = network.predict(batch, verbose=0)
    probability = float(bundle.calibration.probability(log_odds(logits))[0])
    heat = grad_cam_plus_plus(network, batch)
    flagged = probability >= bundle.operating_points.sensitive
    return Scored(source, probability, draw(grey, heat, probability) if flagged else None)


def grad_cam_plus_plus(network: keras.Model, batch: Array) -> Array:
    """Chattopadhay et al. 2018, eq. 10, 11 and 19, with the score exp(S)."""
    with tf.GradientTape() as tape:
        features, logits = network(tf.constant(batch), training=False)
        score = logits[:, -1] - logits[:, 0] if logits.shape[1] > 1 else logits[:, 0]
    gradient = tape.gradient(score, features)
    squared = gradient**2
    total = tf.reduce_sum(features, axis=(1, 2), keepdims=True)
    alpha = tf.math.divide_no_nan(squared, 2 * squared + total * squared * gradient)
    weights = tf.reduce_sum(alpha * tf.nn.relu(gradient), axis=(1, 2), keepdims=True)
    heat = tf.nn.relu(tf.reduce_sum(weights * features, axis=-1))[0].numpy()
    return np.asarray(heat / max(float(heat.max()), 1e-12))


def draw(grey: Array, heat: Array, probability: float) -> Array:
    """The overlay at the radiograph's size, RGB."""
    rows, columns = grey.shape
    figure = plt.figure(figsize=(columns / 100, rows / 100), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    axes.imshow(grey, cmap="gray", vmin=0, vmax=1)
    axes.imshow(cv2.resize(heat, (columns, rows)), cmap="jet", alpha=0.4, vmin=0, vmax=1)
    axes.text(10, 30, f"fracture {probability:.2f}, not for diagnosis", color="white")
    figure.canvas.draw()
    rgb = np.asarray(figure.canvas.buffer_rgba())[:, :, :3].copy()
    plt.close(figure)
    return rgb


def write_secondary_capture(scored: Scored, path: Path) -> None:
    """The overlay as a DICOM object of the same study."""
    if scored.overlay is None:
        raise ValueError("a radiograph without overlay")
    result = pydicom.Dataset()
    for keyword in (
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "PatientSex",
        "StudyID",
        "StudyInstanceUID",
        "StudyDate",
        "StudyTime",
        "AccessionNumber",
    ):
        setattr(result, keyword, scored.source.get(keyword, ""))
    result.SOPClassUID, result.SOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    result.SeriesInstanceUID, result.Modality = generate_uid(), "OT"
    result.Rows, result.Columns, result.SamplesPerPixel = *scored.overlay.shape[:2], 3
    result.PhotometricInterpretation, result.PlanarConfiguration = "RGB", 0
    result.BitsAllocated, result.BitsStored, result.HighBit = 8, 8, 7
    result.PixelRepresentation = 0
    pixels = scored.overlay.tobytes()
    result.PixelData = pixels + b"\0" * (len(pixels) % 2)
    result["PixelData"].VR = "OB"
    result.file_meta = pydicom.dataset.FileMetaDataset()
    result.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    result.save_as(path, enforce_file_format=True)


def write_report(scored: list[Scored], path: Path) -> None:
    """A page with a line per radiograph and the overlays."""
    canvas = Canvas(str(path), pagesize=A4)
    canvas.drawString(50, 800, f"Patient {scored[0].source.PatientName}")
    for number, radiograph in enumerate(scored):
        canvas.drawString(
            50, 780 - 20 * number, f"Image {number + 1}: {radiograph.probability:.2f}"
        )
        if radiograph.overlay is not None:
            png = cv2.imencode(".png", radiograph.overlay[:, :, ::-1])[1].tobytes()
            canvas.drawImage(ImageReader(BytesIO(png)), 50 + 250 * (number % 2), 400, 240, 300)
    canvas.save()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
