"""The model in use: its files are those that were entered, and it gives a usable answer in time."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

import numpy as np

from db.errors import LedgerError
from db.outcomes import percent
from db.registry import ModelRegistry
from db.session import is_current
from dicom_node.errors import DicomNodeError
from dicom_node.radiograph import Radiograph
from models.bundle import ModelBundle
from models.classifier import Classification
from models.errors import ModelError
from worker.classifiers import make_classifier
from worker.composition import make_reader, pixel_limits, utc_now
from worker.doctor.database import missing_file, open_engine
from worker.doctor.finding import Verdict, failed, ok, warning
from worker.doctor.probe_object import write_probe_radiograph
from worker.doctor.site import Site
from worker.model_updates.library import FoundModel, champion_of
from worker.settings import Settings

_RUNS = 3
_SHARE_OF_LEASE = 0.1
"""A study has several radiographs, and its lease is for all of them."""


EXPECTED_PROBABILITY: Mapping[str, float] = MappingProxyType(
    {"f75836b05a86989c": 0.8727, "698b30eb0bb93f87": 0.8727, "998df02e217e3407": 0.8727}
)
"""Beginning of a bundle's digest → what it says of the phantom. Of others nothing is known."""
_TOLERANCE = 0.05
"""Between processors and engines; GPUs with TF32 differ by some thousandths."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What several runs over one picture gave."""

    digest: str
    probabilities: tuple[float, ...]
    finite: bool
    """Probabilities and saliency maps."""
    seconds: float
    """Of the quickest run."""
    engine: str
    """Name, version and device."""


def look_at_bundle(settings: Settings) -> Verdict:
    """Of the champion, or of the settings where none was promoted: read whole, digests compared."""
    found = _in_use(settings)
    try:
        identity = found.load().identity
    except (ModelError, OSError) as error:
        return failed(
            str(error),
            "Bring the bundle's folder back from the backup or install the package again; or go "
            "on with another model: `fracture-screen model list`, `model rollback`.",
        )
    return ok(f"{identity.label} ({found.label}), digest {identity.digest[:16]}… verified")


def look_at_decoder(site: Site) -> Verdict:
    """The reading child with its limits of time and memory, on a phantom."""
    try:
        began = time.monotonic()
        radiograph = _read_phantom(site)
    except (DicomNodeError, OSError) as error:
        return failed(
            f"a phantom cannot be read: {error}",
            "Raise limits.decoder_memory_mib or limits.decoder_timeout_s; else install the "
            "package with its dependencies again.",
        )
    rows, columns = radiograph.pixels.shape
    seconds = time.monotonic() - began
    return ok(f"a phantom of {rows} × {columns} read, {seconds:.1f} s with the child's start")


def look_at_inference(site: Site) -> Verdict:
    """A phantom, several times."""
    try:
        bundle = _in_use(site.settings).load()
        trial = _try(site.settings, bundle)
    except (ModelError, ValueError, ImportError, MemoryError) as error:
        return failed(
            f"the network cannot be run: {error}",
            "Install the package with its dependencies again, or go on with another model "
            "(`fracture-screen model rollback`).",
        )
    return judge_trial(trial, site.settings.study.lease_s)


def judge_trial(trial: Trial, lease_s: float) -> Verdict:
    """Finite, always the same, quick enough for the lease. No picture says more without a label."""
    told = f"{1000 * trial.seconds:.0f} ms per radiograph, {trial.engine}"
    if not trial.finite or not all(0 <= one <= 1 for one in trial.probabilities):
        return failed(
            f"{told}: numbers that are no probabilities",
            "Install the package again or try another model.engine (`fracture-screen model "
            "engines`), and do not screen with this machine until that is gone.",
        )
    if len(set(trial.probabilities)) > 1:
        return failed(
            f"{told}: the same picture gave {min(trial.probabilities):.6f} and "
            f"{max(trial.probabilities):.6f}",
            "The machine computes wrongly: test its memory and GPU, and do not screen with it.",
        )
    expected = EXPECTED_PROBABILITY.get(trial.digest[:16])
    if expected is not None and abs(trial.probabilities[0] - expected) > _TOLERANCE:
        return failed(
            f"{told}: probability {trial.probabilities[0]:.3f}, but {expected:.3f} is expected",
            "The network computes something else here: install the packages of the lock file, try "
            "another model.engine (`fracture-screen model engines`), and do not screen until that "
            "is gone.",
        )
    if trial.seconds > _SHARE_OF_LEASE * lease_s:
        return warning(
            f"{told}; study.lease_s is {lease_s:g} s for a whole study",
            "Raise study.lease_s, or give the worker more CPU or a GPU.",
        )
    return ok(f"{told}, the same each time, probability {percent(trial.probabilities[0])}")


def _try(settings: Settings, bundle: ModelBundle) -> Trial:
    from worker.phantom import draw_phantom

    picture = draw_phantom(1, fractured=True).astype(np.float32) / np.float32(255)
    classifier = make_classifier(settings, bundle)
    classifier.classify([picture])  # the first run allocates memory, or traces the network
    timed = [_timed(lambda: classifier.classify([picture])[0]) for _ in range(_RUNS)]
    answers = [answer for answer, _ in timed]
    return Trial(
        bundle.identity.digest,
        tuple(one.prediction.probability for one in answers),
        all(_is_finite(one) for one in answers),
        min(seconds for _, seconds in timed),
        classifier.engine_label,
    )


def _timed(run: Callable[[], Classification]) -> tuple[Classification, float]:
    began = time.monotonic()
    return run(), time.monotonic() - began


def _is_finite(one: Classification) -> bool:
    return bool(np.isfinite([one.prediction.probability, *one.saliency.values.ravel()]).all())


def _read_phantom(site: Site) -> Radiograph:
    limits = pixel_limits(site.settings)
    with (
        TemporaryDirectory(prefix="fracture-screen-") as folder,
        make_reader(site.settings) as read,
    ):
        # The listener would know it as ours, and so would the reader.
        probe = write_probe_radiograph(Path(folder), "", site.clock(), ours=False)
        (radiograph,) = read.read(probe.path, limits=limits, scope={"HAND"})
        return radiograph


def _in_use(settings: Settings) -> FoundModel:
    """As the registry says, where it can be asked; else that of the settings."""
    try:
        if missing_file(settings) is None:
            with open_engine(settings) as engine:
                if is_current(engine):
                    return champion_of(settings, ModelRegistry(engine, utc_now))
    except LedgerError:  # a check of its own tells that
        pass
    return champion_of(settings, None)
