"""The broker: Redis that forgets nothing, or the folder that stands in for it."""

import os
from collections.abc import Mapping
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import redis
from kombu.exceptions import OperationalError
from sqlalchemy.engine import make_url

from worker.doctor.finding import Verdict, failed, ok, warning
from worker.doctor.site import Site
from worker.queues import queue_depth
from worker.settings import Settings

OLDEST_REDIS = 6
"""Major version: from it on there are ACLs and TLS."""
_AWAY = (
    "Start Redis, open the way to it, and check broker_url (user, password, host, port). Nothing "
    "is lost: what waits is queued once it answers."
)


def is_redis(settings: Settings) -> bool:
    """Whether the broker is one."""
    return urlsplit(settings.broker_url).scheme in ("redis", "rediss")


def open_redis(settings: Settings, timeout_s: float) -> "redis.Redis":
    """A client that does not wait for ever; connects with its first command."""
    return redis.Redis.from_url(
        _as_redis_takes_it(settings.broker_url),
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
    )


def look_at_broker(site: Site) -> Verdict:
    """Whichever it is."""
    settings = site.settings
    if not settings.broker_url:
        return _look_at_folder(settings)
    where = make_url(settings.broker_url).render_as_string(hide_password=True)
    verdict = _look_at_redis(site, where) if is_redis(settings) else None
    if verdict is not None and verdict.remedy:
        return verdict
    try:
        waiting = sum(queue_depth(settings).values())
    except (OperationalError, redis.RedisError, OSError) as error:
        return failed(f"{where}: queues cannot be used ({type(error).__name__})", _AWAY)
    told = where if verdict is None else verdict.found
    return ok(f"{told}; {waiting} messages waiting")


def judge_redis(info: Mapping[str, Any], where: str) -> Verdict:
    """By what INFO says (redis.io, INFO). Any: values as the client converts them."""
    version = str(info.get("redis_version", "?"))
    told = f"Redis {version} at {where}"
    if not version.split(".")[0].isdigit() or int(version.split(".")[0]) < OLDEST_REDIS:
        return failed(told, f"Update it to Redis {OLDEST_REDIS} or newer.")
    if info.get("role", "master") != "master":
        return failed(f"{told} is a replica", "Point broker_url at the primary server.")
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        return failed(
            f"{told}: maxmemory-policy {policy}, so messages are thrown away when memory is short",
            "Set `maxmemory-policy noeviction` in redis.conf and by `CONFIG SET`.",
        )
    if info.get("aof_last_write_status", "ok") != "ok":
        return failed(
            f"{told}: it cannot write its append-only file",
            "Look at its log and at the room on its disk.",
        )
    if not info.get("aof_enabled"):
        return warning(
            f"{told}: append-only file off, so messages are lost with it",
            "Set `appendonly yes` in redis.conf and by `CONFIG SET`. Until then the dispatcher "
            "queues again what was lost, after study.requeue_after_s.",
        )
    return ok(f"{told}, noeviction, append-only file on")


def _as_redis_takes_it(url: str) -> str:
    """Celery knows other names for ssl_cert_reqs than the client library alone."""
    for name in ("REQUIRED", "OPTIONAL", "NONE"):
        url = url.replace(f"ssl_cert_reqs=CERT_{name}", f"ssl_cert_reqs={name.lower()}")
    return url


def _look_at_redis(site: Site, where: str) -> Verdict:
    try:
        with closing(open_redis(site.settings, site.timeout_s)) as client:
            client.ping()
            return judge_redis(client.info(), where)
    except redis.exceptions.NoPermissionError:
        return warning(
            f"{where} answers, but does not let us ask by INFO how it is set up",
            "Allow our user `+info` (ACL SETUSER), or check maxmemory-policy noeviction and "
            "appendonly yes by hand.",
        )
    except (redis.exceptions.AuthenticationError, redis.exceptions.ResponseError) as error:
        return failed(
            f"{where} refuses us ({type(error).__name__})",
            "Check user and password of broker_url against `ACL LIST`, and that special "
            "characters are percent-encoded.",
        )
    except (redis.RedisError, OSError, ValueError) as error:
        return failed(f"{where} does not answer ({type(error).__name__})", _AWAY)


def _look_at_folder(settings: Settings) -> Verdict:
    folder = settings.data_folder.resolve() / "broker" / "messages"
    if not folder.exists():
        return ok("files in the data folder; the first start makes them")
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return failed(
            f"{folder} cannot be used by user {os.geteuid()}",
            "`chown -R` the data folder to the service's user.",
        )
    return ok(f"files in the data folder; {sum(queue_depth(settings).values())} messages waiting")
