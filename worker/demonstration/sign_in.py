"""A way into the worklist of a demonstration that is kept running."""

import secrets
import socket
from dataclasses import dataclass

from sqlalchemy import Engine

from db.accounts import Accounts
from db.states import Role
from worker.composition import utc_now
from worker.demonstration.product import Product
from worker.demonstration.watch import Look
from worklist.people.passwords import hash_password

_NAME = "demo"
_ENTROPY_BYTES = 12
_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class SignIn:
    """An administrator's account; the plain password exists only here."""

    name: str
    password: str


def make_sign_in(engine: Engine) -> SignIn:
    """Add an administrator with a random password to the worklist."""
    password = secrets.token_urlsafe(_ENTROPY_BYTES)
    Accounts(engine, utc_now).add(_NAME, Role.ADMIN, hash_password(password, _NAME), _NAME)
    return SignIn(_NAME, password)


def worklist_address(product: Product) -> str:
    """Return where the worklist is served."""
    worklist = product.settings.worklist
    return f"http://{worklist.host}:{worklist.port}"


def look_for_worklist(product: Product) -> Look:
    """See whether the worklist answers."""
    worklist = product.settings.worklist
    waiting = "starting the worklist"
    try:
        socket.create_connection((worklist.host, worklist.port), _TIMEOUT_S).close()
    except OSError:
        return Look(waiting)
    return Look(waiting, finished=True)
