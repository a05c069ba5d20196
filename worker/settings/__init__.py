"""Settings: one TOML file and the environment, read once per process, frozen, passed in.

Nothing else in the product reads the environment. Every field has a description: they are the
settings reference. A file per section of the settings file; `root` joins them, `loading` reads.
"""

from worker.settings.delivery import DeliverySettings
from worker.settings.destinations import Destination
from worker.settings.fields import AETitle
from worker.settings.hl7 import Hl7Receiver
from worker.settings.limits import LimitSettings
from worker.settings.listener import ListenerSettings, ListenerTlsSettings
from worker.settings.loading import load_settings, settings_file
from worker.settings.model import ModelSettings
from worker.settings.monitor import MonitorSettings
from worker.settings.peers import PeerSettings
from worker.settings.promotion import PromotionSettings
from worker.settings.reference import field_reference
from worker.settings.retention import RetentionSettings
from worker.settings.root import Settings
from worker.settings.sources import Retrieval, SourceSettings
from worker.settings.study import StudySettings
from worker.settings.sweep import ScheduleSettings, SweepSettings
from worker.settings.webhooks import WebhookReceiver

__all__ = [
    "AETitle",
    "DeliverySettings",
    "Destination",
    "Hl7Receiver",
    "LimitSettings",
    "ListenerSettings",
    "ListenerTlsSettings",
    "ModelSettings",
    "MonitorSettings",
    "PeerSettings",
    "PromotionSettings",
    "RetentionSettings",
    "Retrieval",
    "ScheduleSettings",
    "Settings",
    "SourceSettings",
    "StudySettings",
    "SweepSettings",
    "WebhookReceiver",
    "field_reference",
    "load_settings",
    "settings_file",
]
