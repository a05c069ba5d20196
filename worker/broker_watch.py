"""Has a worker notice that it will never hear from its broker again.

A message counts against the worker's prefetch limit until it is acknowledged, also when its
acknowledgement failed because Redis was away. A worker that takes one message at a time is then at
its limit, asks Redis for no other and waits for ever (celery 5.7, kombu 5.7; celery issue 8384 was
the same symptom). Connecting anew gives such messages back: their studies and deliveries are
claimed in the ledger, so coming twice they do nothing twice.
"""

from collections.abc import Callable
from typing import Any, Protocol

from celery import bootsteps

LOOK_EVERY_S = 5.0


class _Consumer(Protocol):
    """What is used of Celery's."""

    # Any: Celery ships no types.
    hub: Any
    """None of the file broker, whose connection cannot be lost."""
    timer: Any
    task_consumer: Any


class NoticeLostBroker(bootsteps.StartStopStep):  # type: ignore[misc]  # celery ships no types
    """A step of the worker's start; connects anew where a message is held between two tasks."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: _Consumer, **options: object) -> None:
        super().__init__(consumer, **options)
        self._cancel: Callable[[], None] = lambda: None

    def start(self, consumer: _Consumer) -> None:
        """Once it is connected."""
        if consumer.hub is not None:
            entry = consumer.timer.call_repeatedly(LOOK_EVERY_S, _look, (consumer,))
            self._cancel = entry.cancel

    def stop(self, consumer: _Consumer) -> None:
        """Before it ends or connects anew."""
        self._cancel()


def _look(consumer: _Consumer) -> None:
    """Timers run between tasks, when everything that was taken has been acknowledged."""
    if not consumer.task_consumer.channel.qos.can_consume():
        raise ConnectionError("a message could not be acknowledged")
