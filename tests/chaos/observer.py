"""Sees, from outside, which steps the product has reached: folders, the ledger, the PACS."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from db.states import StudyState
from db.tables import Delivery, Instance, Study
from tests.chaos.schedule import Step
from tests.servers.product import Product
from tests.servers.scripted_pacs import ScriptedPacs


@dataclass
class Observer:
    """Answers whether a study's step has been reached; asked often, so each answer is cheap."""

    product: Product
    engine: Engine
    pacs: ScriptedPacs
    is_answered: Callable[[str], bool]

    def watch(self, step: Step, sop_instance_uid: str) -> Callable[[], bool]:
        """A question to ask until it is answered with yes.

        `sop_instance_uid`: of an instance that is sent now; its study is the one watched.
        """
        spool, results = self.product.settings.spool_folder, self.product.settings.results_folder
        before = len(list(spool.glob("incoming/*/*")))
        written = len(list(results.glob("*/*.dcm")))
        stored = len(self.pacs.receptions)
        claims = self._claims_of_deliveries()
        uid = sop_instance_uid
        ended = (StudyState.SCREENED, StudyState.FAILED)
        questions: dict[Step, Callable[[], bool]] = {
            Step.RECEIVE_SENDING: lambda: True,
            Step.RECEIVE_SPOOLING: lambda: any(spool.glob("tmp/*")),
            Step.RECEIVE_SPOOLED: lambda: len(list(spool.glob("incoming/*/*"))) > before,
            Step.RECEIVE_ANSWERED: lambda: self.is_answered(uid),
            Step.DISPATCH_REGISTERED: lambda: self._state(uid) is not None,
            Step.DISPATCH_QUEUED: lambda: self._state(uid) not in (None, StudyState.RECEIVING),
            Step.SCREEN_CLAIMED: lambda: self._state(uid) in (StudyState.SCREENING, *ended),
            Step.SCREEN_WRITTEN: lambda: len(list(results.glob("*/*.dcm"))) > written,
            Step.SCREEN_CONCLUDED: lambda: self._state(uid) in ended,
            Step.DELIVER_CLAIMED: lambda: self._claims_of_deliveries() > claims,
            Step.DELIVER_STORED: lambda: len(self.pacs.receptions) > stored,
            Step.DELIVER_ANSWERED: lambda: len(self.pacs.receptions) > stored,
            Step.POWER_CUT: lambda: self._state(uid) is not None,
        }
        return questions[step]

    def screening_owners(self) -> list[int]:
        """Process ids of the workers that hold a study now."""
        with Session(self.engine) as session, session.begin():
            owners = session.scalars(
                select(Study.lease_owner).where(Study.state == StudyState.SCREENING)
            ).all()
        return [int(owner.rpartition(":")[2]) for owner in owners if owner]

    def _state(self, sop_instance_uid: str) -> StudyState | None:
        with Session(self.engine) as session, session.begin():
            return session.scalar(
                select(Study.state)
                .join(Instance, Instance.study_id == Study.id)
                .where(Instance.sop_instance_uid == sop_instance_uid)
            )

    def _claims_of_deliveries(self) -> int:
        with Session(self.engine) as session, session.begin():
            return session.scalar(select(func.sum(Delivery.attempts))) or 0
