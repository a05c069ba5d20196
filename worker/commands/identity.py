"""`fracture-screen study` and `quarantine`: who is in a study, and the way out of quarantine."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from worker.commands.console import Json, existing_database, out, print_json, settings_of
from worker.model_updates.actor import present_actor

if TYPE_CHECKING:
    from db.corrections import StoredInstance
    from dicom_node.patient import PatientFacts
    from worker.corrections import PatientCorrections

study_app = typer.Typer(
    no_args_is_help=True, help="Studies whose instances name different patients, and what to do."
)
quarantine_app = typer.Typer(
    no_args_is_help=True, help="Files that were kept apart, for example corrected demographics."
)

StudyUid = Annotated[str, typer.Argument(help="Study Instance UID.", show_default=False)]
FileName = Annotated[str, typer.Argument(help="As `quarantine list` shows it.", show_default=False)]


@study_app.command("held")
def held(context: typer.Context, as_json: Json = False) -> None:
    """List the studies that are held because their instances name different patients.

    Example: `fracture-screen study held`
    """
    from db.corrections import Corrections
    from worker.database import utc_now

    found = Corrections(existing_database(context), utc_now).held()
    if as_json:
        print_json([{"study_instance_uid": uid, "since": since} for uid, since in found])
        return
    for uid, since in found:
        local = since.astimezone(settings_of(context).sweep.zone)
        out.print(f"{uid}  since {local:%Y-%m-%d %H:%M}", markup=False, soft_wrap=True)
    if not found:
        out.print("no study is held")


@study_app.command("identities")
def identities(context: typer.Context, study_instance_uid: StudyUid, as_json: Json = False) -> None:
    """Show who is in a study: each patient, with the instances that name it.

    Prints patient data. That it was looked at stands in the audit trail.

    Example: `fracture-screen study identities 1.2.840.113619.2.55.3`
    """
    from db.audit import Trail
    from worker.database import utc_now

    found = _corrections(context).identities(study_instance_uid)
    trail = Trail(existing_database(context), utc_now)
    trail.note(present_actor(), "opened study", study_instance_uid, {"by": "study identities"})
    if as_json:
        print_json(asdict(found))
        return
    if not (found.patients or found.unread or found.discarded):
        out.print("no instance of this study is stored")
    for number, named in enumerate(found.patients, start=1):
        count = len(named.instances)
        out.print(
            Text(f"patient {number}: {_patient(named.patient)}; {_instances(count)}"),
            soft_wrap=True,
        )
        for instance in named.instances:
            _print_instance(context, instance)
    for title, instances in (("not readable", found.unread), ("discarded", found.discarded)):
        if instances:
            out.print(f"{title}: {_instances(len(instances))}")
        for instance in instances:
            _print_instance(context, instance)


@study_app.command("resolve")
def resolve(
    context: typer.Context,
    study_instance_uid: StudyUid,
    keep: Annotated[
        str,
        typer.Option(
            help="Whose study it is: the Patient ID, or the SOP Instance UID of an instance that "
            "names the patient."
        ),
    ],
    same_patient: Annotated[
        bool,
        typer.Option(
            "--same-patient",
            help="The other instances show the same patient: name them so in all results, "
            "instead of discarding them.",
        ),
    ] = False,
) -> None:
    """Say whose study it is. The other patients' instances are discarded, or accepted as the same.

    The study is screened again as its next revision. The files stay where they are. What was sent
    before stays in the PACS: remove there what names the wrong patient.

    Example: `fracture-screen study resolve 1.2.840.113619.2.55.3 --keep 4711`
    """
    count = _corrections(context).resolve(
        study_instance_uid, keep, same_patient=same_patient, actor=present_actor(), details={}
    )
    done = "accepted" if same_patient else "discarded"
    out.print(f"{_instances(count)} {done}; the study will be screened again")


@quarantine_app.command("list")
def list_quarantine(context: typer.Context, as_json: Json = False) -> None:
    """List the files in quarantine with the patient they name and the one that is stored.

    Prints patient data.

    Example: `fracture-screen quarantine list`
    """
    found = _corrections(context).quarantined()
    if as_json:
        print_json([asdict(file) for file in found])
        return
    if not found:
        out.print("nothing is in quarantine")
        return
    zone = settings_of(context).sweep.zone
    table = Table("file", "received", "what it is", "patient", "stored patient")
    for file in found:
        received = f"{file.received_at.astimezone(zone):%Y-%m-%d %H:%M}"
        told = f"{file.standing}{f': {file.problem}' if file.problem else ''}"
        patients = (file.patient, file.stored_patient)
        shown = ("" if patient is None else _patient(patient) for patient in patients)
        table.add_row(file.name, received, *(Text(text) for text in (told, *shown)))
    out.print(table)


@quarantine_app.command("show")
def show_quarantined(context: typer.Context, name: FileName, as_json: Json = False) -> None:
    """Show in which attributes a file differs from the stored instance of its UID.

    Prints patient data.

    Example: `fracture-screen quarantine show 0f3a9c0e7b6d4f0f8f2d5f1f3c1b2a4d.dcm`
    """
    found = _corrections(context).differences(name)
    if as_json:
        print_json([asdict(difference) for difference in found])
        return
    table = Table("attribute", "stored", "in quarantine")
    for difference in found:
        values = (difference.attribute, difference.stored, difference.new)
        table.add_row(*(Text(value) for value in values))
    out.print(table if found else "no attribute differs")


@quarantine_app.command("accept")
def accept(context: typer.Context, name: FileName) -> None:
    """Make a file the stored instance of its UID; its study is screened again.

    The results of the next revision replace those in force. What was sent before stays in the
    PACS: remove there what names the wrong patient.

    Example: `fracture-screen quarantine accept 0f3a9c0e7b6d4f0f8f2d5f1f3c1b2a4d.dcm`
    """
    uid = _corrections(context).accept(name, actor=present_actor(), details={})
    out.print(f"accepted; study {uid} will be screened again", soft_wrap=True)


@quarantine_app.command("discard")
def discard(context: typer.Context, name: FileName) -> None:
    """Remove a file from quarantine for good; what is stored stays as it is.

    Example: `fracture-screen quarantine discard 0f3a9c0e7b6d4f0f8f2d5f1f3c1b2a4d.dcm`
    """
    _corrections(context).discard(name, actor=present_actor(), details={})
    out.print(f"{name} was removed", markup=False, soft_wrap=True)


def _corrections(context: typer.Context) -> "PatientCorrections":
    from worker.composition import make_corrections

    return make_corrections(settings_of(context), existing_database(context))


def _print_instance(context: typer.Context, instance: "StoredInstance") -> None:
    received = instance.received_at.astimezone(settings_of(context).sweep.zone)
    origin = f"from {instance.calling_ae_title}, {received:%Y-%m-%d %H:%M}"
    out.print(Text(f"  {instance.sop_instance_uid}  {origin}"), soft_wrap=True)


def _patient(patient: "PatientFacts") -> str:
    issuer = patient.issuer_of_patient_id
    facts = (
        patient.name or "(no name)",
        f"ID {patient.patient_id}{f' of {issuer}' if issuer else ''}"
        if patient.patient_id
        else "no ID",
        f"born {patient.birth_date}" if patient.birth_date else "",
        f"sex {patient.sex}" if patient.sex else "",
    )
    return ", ".join(fact for fact in facts if fact)


def _instances(count: int) -> str:
    return f"{count} instance" if count == 1 else f"{count} instances"
