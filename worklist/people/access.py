"""Who asks: the account behind a request, and whether it may."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends

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


def _stand_in() -> SignedIn:  # stand-in: part A
    return SignedIn(1, "stand-in", Role.READER, "")


Reader = Annotated[SignedIn, Depends(_stand_in)]  # stand-in: part A
