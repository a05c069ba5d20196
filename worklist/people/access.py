"""Who asks: the account behind a request, and whether it may."""

from dataclasses import dataclass
from secrets import compare_digest
from typing import Annotated

from fastapi import Depends, HTTPException, Request

from db.states import Role


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Somebody who has signed in, for the time of one request."""

    account_id: int
    name: str
    role: Role
    csrf_token: str
    """What every form of theirs must send back."""

    @property
    def is_admin(self) -> bool:
        """Whether people, trail and exports are theirs to see."""
        return self.role is Role.ADMIN


# stand-in: part A (everything below, and worklist/people/trail.py)
def _reader(request: Request) -> SignedIn:
    who: SignedIn | None = getattr(request.app.state, "stand_in", None)
    if who is None:
        if request.url.path.startswith("/api/") or request.method != "GET":
            raise HTTPException(401, "sign in first")
        raise HTTPException(303, headers={"Location": "/sign-in"})
    return who


def _admin(request: Request) -> SignedIn:
    who = _reader(request)
    if not who.is_admin:
        raise HTTPException(403, "for administrators")
    return who


async def _check_csrf(request: Request) -> None:
    who: SignedIn | None = getattr(request.app.state, "stand_in", None)
    sent = request.headers.get("X-CSRF-Token")
    if sent is None:
        sent = str((await request.form()).get("csrf_token", ""))
    if who is not None and not compare_digest(sent.encode(), who.csrf_token.encode()):
        raise HTTPException(403, "the form is from another session")


Reader = Annotated[SignedIn, Depends(_reader)]
Admin = Annotated[SignedIn, Depends(_admin)]
CsrfChecked = Depends(_check_csrf)
