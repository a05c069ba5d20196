"""The composition root: settings in, connected parts out. Nothing connects anywhere else."""

from random import SystemRandom

import structlog
from pydicom.uid import generate_uid
from sqlalchemy import Engine

from db.ledger import Ledger
from db.registry import ModelRegistry
from db.shadow_scores import ShadowScores
from db.sweeps import Sweeps
from dicom_node.bounded_reader import BoundedReader
from dicom_node.radiograph import PixelLimits
from dicom_node.receiver import Receiver
from dicom_node.spool import Spool
from models.bundle import ModelBundle, load_bundle
from models.classifier import Classifier
from models.engines.choice import ChosenEngine
from worker.classifiers import make_classifier
from worker.confirmation import Confirmer
from worker.corrections import PatientCorrections
from worker.database import make_folders as make_folders
from worker.database import open_database as open_database
from worker.database import open_ledger as open_ledger
from worker.database import open_registry as open_registry
from worker.database import utc_now as utc_now
from worker.delivery import Deliverer
from worker.intake import Intake
from worker.model_updates.champion import Champions
from worker.model_updates.shadow import Shadow
from worker.screening import ReadRadiographs, Screener
from worker.settings import Settings
from worker.sweeps.find_place import Places

MIB = 1024 * 1024

_log = structlog.get_logger(__name__)


def open_spool(settings: Settings) -> Spool:
    """The spool in the data folder."""
    make_folders(settings)
    return Spool(settings.spool_folder, minimum_free_bytes=settings.listener.minimum_free_mib * MIB)


def make_corrections(settings: Settings, engine: Engine) -> PatientCorrections:
    """Who is in a study, and quarantine; no folder is made before one asks for quarantine."""
    return PatientCorrections(engine, utc_now, settings.data_folder, lambda: open_spool(settings))


def make_screener(settings: Settings) -> Screener:
    """The classifier of the settings' bundle with its limits, ready to screen."""
    reader = make_reader(settings)
    classifier = make_classifier(settings, load_bundle(settings.model.bundle))
    return screener_of(classifier, settings, reader)


def screener_of(classifier: Classifier, settings: Settings, reader: BoundedReader) -> Screener:
    """Over a reading child that is running."""
    return Screener(
        classifier,
        pixel_limits(settings),
        utc_now,
        reader.read,
        reject_outside_scope=settings.model.reject_outside_scope,
    )


def make_reader(settings: Settings) -> BoundedReader:
    """A warm child process that reads radiographs within the limits."""
    reader = make_cold_reader(settings)
    reader.start()
    return reader


def make_batch_readers(settings: Settings) -> list[ReadRadiographs]:
    """Several, for a batch; each starts its child with the first instance."""
    return [make_cold_reader(settings).read for _ in range(settings.sweep.readers)]


def make_champions(settings: Settings, engine: Engine) -> tuple[Champions, Shadow]:
    """Screeners of whatever models are in use, over one reading child."""
    reader = make_reader(settings)

    def screener(bundle: ModelBundle) -> Screener:
        def log(chosen: ChosenEngine) -> None:
            model, engine = bundle.identity.label, chosen.engine.label
            _log.info("engine_chosen", model=model, engine=engine, reason=chosen.reason)

        return screener_of(make_classifier(settings, bundle, log), settings, reader)

    registry, data_folder = ModelRegistry(engine, utc_now), settings.data_folder.resolve()
    return (
        Champions(registry, data_folder, settings.model.bundle, screener),
        Shadow(
            registry,
            ShadowScores(engine, utc_now),
            data_folder,
            screener,
            budget_s=settings.model.shadow_budget_s,
        ),
    )


def make_deliverer(settings: Settings, ledger: Ledger) -> Deliverer:
    """Sends what is due."""
    return Deliverer(settings, ledger, utc_now, SystemRandom().random)


def make_confirmer(settings: Settings, ledger: Ledger) -> Confirmer:
    """Asks destinations for what was sent, under random transaction UIDs that nobody guesses."""
    return Confirmer(
        settings, ledger, utc_now, SystemRandom().random, lambda: str(generate_uid(prefix=None))
    )


def make_cold_reader(settings: Settings) -> BoundedReader:
    """A reader that starts its child process with the first radiograph."""
    limits = settings.limits
    return BoundedReader(
        timeout_s=limits.decoder_timeout_s,
        memory_bytes=limits.decoder_memory_mib * MIB,
        site_words=settings.body_parts,
    )


def make_places(settings: Settings) -> Places:
    """Where sweeps look, and a receiver for what they fetch themselves."""
    engine, spool = open_database(settings), open_spool(settings)
    intake = Intake(Ledger(engine, utc_now), spool, settings.data_folder)
    receiver = Receiver(spool, intake.register)
    registry = ModelRegistry(engine, utc_now)
    return Places(settings, Sweeps(engine, utc_now), registry, receiver, utc_now)


def pixel_limits(settings: Settings) -> PixelLimits:
    """The caps before decoding."""
    limits = settings.limits
    return PixelLimits(
        max_rows=limits.maximum_rows,
        max_columns=limits.maximum_columns,
        max_frames=limits.maximum_frames,
        max_bytes=limits.maximum_instance_mib * MIB,
    )
