"""What the checks are told: the settings in force, and what the caller allows them to do."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy.engine import make_url

from worker.settings import Hl7Receiver, Settings, WebhookReceiver
from worker.settings.remote import RemoteSettings


@dataclass(frozen=True, slots=True)
class Site:
    """One installation, as one command looks at it."""

    settings: Settings
    settings_file: Path | None
    """None: the environment alone."""
    clock: Callable[[], datetime]
    timeout_s: float = 10.0
    """Seconds to wait for one answer."""
    store: bool = False
    """Send a test object to each destination."""
    retrieve: bool = False
    """Store a test object at each source and have it sent back."""

    def calling(self, own: str | None) -> str:
        """The AE title that a remote AE is called with; `own` is that of its settings."""
        return own or self.settings.delivery.calling_ae_title


def secrets_of(settings: Settings) -> list[str]:
    """What the settings hold that must not be told: passwords, and the alarm webhook's address."""
    urls = [make_url(url) for url in (settings.database_url, settings.broker_url) if url]
    written = [one for url in urls for one in (url.password, url.query.get("password")) if one]
    return [*(str(one) for one in written), *filter(None, [settings.monitor.alarm_webhook])]


def called(settings: Settings) -> list[RemoteSettings | Hl7Receiver | WebhookReceiver]:
    """All that we call, and that may have certificates of their own or for us."""
    return [
        *settings.destinations,
        *settings.sources,
        *settings.peers,
        *settings.hl7,
        *settings.webhooks,
    ]
