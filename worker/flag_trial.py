"""A message about no study, to see whether a receiver takes ours."""

from pathlib import Path
from tempfile import TemporaryDirectory

from worker.composition import utc_now
from worker.errors import NothingToDo
from worker.flags import content_for, kind_for, trial_flag
from worker.senders import Parcel, make_senders
from worker.settings import Settings
from worklist.flags.answers import Answer
from worklist.flags.content import flag_uid


def send_trial(settings: Settings, name: str) -> tuple[str, Answer]:
    """The message's UID, and what the receiver of this name made of it.

    Raises:
        NothingToDo: there is no such receiver.
    """
    receivers = {one.name: one for one in settings.receivers}
    receiver = receivers.get(name)
    if receiver is None:
        known = ", ".join(receivers) or "none"
        raise NothingToDo(f"no [[hl7]] or [[webhooks]] is called {name!r}; there is: {known}")
    flag = trial_flag(name, utc_now())
    uid = flag_uid(kind_for(receiver), flag)
    with TemporaryDirectory(prefix="fracture-screen-") as folder:
        path = Path(folder) / "message"
        path.write_bytes(content_for(flag, receiver))
        sender = make_senders(settings, utc_now)[name]
        (answer,) = sender.send([Parcel(uid, path)], sender.timeout_s, lambda *_: None)
    return uid, answer
