"""The broker's queues: their names, and how many messages wait in each."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from worker.settings import Settings

TRIAGE_QUEUE = "triage"
DELIVERY_QUEUE = "delivery"
"""Stands for the queues of all destinations, and is that of what no destination of ours gets."""
BACKLOG_QUEUE = "backlog"
"""Studies that sweeps brought."""
SWEEP_QUEUE = "sweep"
"""What moves sweeps on. It waits for a PACS: no worker that screens or delivers takes from it."""
QUEUES = (TRIAGE_QUEUE, DELIVERY_QUEUE, BACKLOG_QUEUE, SWEEP_QUEUE)
"""In the order in which they are emptied."""


def queue_names(
    settings: Settings, kinds: Sequence[str] = QUEUES, destinations: Sequence[str] | None = None
) -> list[str]:
    """The broker's queues of these kinds; of delivery, a queue per destination (default: of all).

    So a worker of its own can serve each, and a PACS that is slow or silent holds up no other.
    """
    names = settings.destination_names if destinations is None else destinations
    of_delivery = [DELIVERY_QUEUE, *map(delivery_queue, names)]
    return [
        *([TRIAGE_QUEUE] if TRIAGE_QUEUE in kinds else []),
        *(of_delivery if DELIVERY_QUEUE in kinds else []),
        *(name for name in (BACKLOG_QUEUE, SWEEP_QUEUE) if name in kinds),
    ]


def delivery_queue(destination: str) -> str:
    """Name of a destination's queue: of few letters, since it becomes part of a file's name."""
    digest = hashlib.sha256(destination.encode()).hexdigest()
    readable = re.sub("[^a-z0-9]+", "-", destination.lower()).strip("-")
    return f"{DELIVERY_QUEUE}-{readable[:24]}-{digest[:8]}"


def queue_depth(settings: Settings) -> dict[str, int]:
    """Messages waiting per kind of queue. Raises kombu's OperationalError if the broker is away."""
    queues = {kind: queue_names(settings, [kind]) for kind in QUEUES}
    if not settings.broker_url:
        waiting = [path.name.split(".")[-2] for path in messages_folder(settings).glob("*.msg")]
        return {kind: sum(name in names for name in waiting) for kind, names in queues.items()}
    from worker.app import make_celery  # Celery, for a broker that is a server alone

    with make_celery(settings).connection_for_read() as connection:
        channel = connection.default_channel

        def depth(queue: str) -> int:
            return int(channel.queue_declare(queue, passive=False, durable=True).message_count)

        return {kind: sum(map(depth, names)) for kind, names in queues.items()}


def messages_folder(settings: Settings) -> Path:
    """Return the folder of the broker of files, one file a message."""
    return settings.data_folder.resolve() / "broker" / "messages"
