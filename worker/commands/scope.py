"""`model scope`: what a model rejects of radiographs, of drawn controls and of other files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from worker.commands.console import Json, err, out, print_json, progress_bar, settings_of
from worker.commands.data import LayoutName, read_labelled
from worker.commands.model_options import AnyName, registry_if_there, require_training_extra

if TYPE_CHECKING:  # the command imports it: it needs the training extra
    from training.scope_check import LookedAtFile, Rejections


def check_scope(
    context: typer.Context,
    name: AnyName = "champion",
    data: Annotated[
        Path | None, typer.Option(help="Folder of labelled radiographs that the model is for.")
    ] = None,
    split: Annotated[
        Path | None, typer.Option(help="Split file; only its part --part is used. None: all.")
    ] = None,
    part: Annotated[str, typer.Option(help="Part of the split, such as test.")] = "test",
    layout: LayoutName = "auto",
    others: Annotated[
        list[Path] | None,
        typer.Option(help="File or folder of pictures or DICOM of any kind; may be repeated."),
    ] = None,
    controls: Annotated[int, typer.Option(min=0, help="Drawn controls of each kind.")] = 60,
    seed: Annotated[int, typer.Option(help="Another seed draws others.")] = 0,
    as_json: Json = False,
) -> None:
    """What a model rejects as outside its scope: radiographs wrongly, drawn controls rightly.

    Use radiographs that the model was not trained on. Controls are drawn; the photographs are
    scikit-learn's two. A bundle without a scope rejects nothing but what is blank.

    Example: `fracture-screen model scope --data fracatlas --split split.json --others ct-folder`
    """
    require_training_extra()
    from training.scope_check import check_controls, check_files, check_radiographs
    from training.split_file import read_part
    from worker.classifiers import make_classifier
    from worker.model_updates.library import find_model
    from worker.offline import find_files

    settings = settings_of(context)
    bundle = find_model(name, settings, registry_if_there(settings)).load()
    if bundle.scope is None:
        err.print(f"{bundle.identity.label} knows no scope: it rejects only what is blank")
    examples = [] if data is None else read_part(read_labelled(data, layout), split, part).examples
    paths = find_files(others) if others else []
    classifier = make_classifier(settings, bundle)
    with progress_bar() as progress:
        task = progress.add_task("pictures", total=None)

        def advance() -> None:
            progress.advance(task)

        found = [check_radiographs(classifier, examples, advance)] if examples else []
        found += check_controls(classifier, controls, seed, advance) if controls else []
        files = check_files(classifier, paths, advance)
    if as_json:
        print_json(_as_json(bundle.identity.label, bundle.identity.digest, found, files))
    else:
        _print(found, files)


def _as_json(
    model: str, digest: str, found: list["Rejections"], files: list["LookedAtFile"]
) -> dict[str, Any]:  # Any: JSON
    return {
        "model": model,
        "digest": digest,
        "kinds": [
            {
                "kind": one.kind,
                "pictures": one.pictures,
                "rejected": one.rejected,
                "low": one.share.low,
                "high": one.share.high,
            }
            for one in found
        ],
        "files": [
            {"path": one.path, "rejected_frames": list(one.rejected), "trouble": one.trouble}
            for one in files
        ],
    }


def _print(found: list["Rejections"], files: list["LookedAtFile"]) -> None:
    if found:
        table = Table("pictures", "number", "rejected", "share", "95 % interval")
        for one in found:
            share = one.share
            interval = f"{share.low:.3f} to {share.high:.3f}"
            table.add_row(
                one.kind, str(one.pictures), str(one.rejected), f"{share.value:.3f}", interval
            )
        out.print(table)
    if files:
        table = Table("file", "verdict")
        for file in files:
            table.add_row(str(file.path), _verdict(file))
        out.print(table)


def _verdict(file: "LookedAtFile") -> str:
    count = sum(file.rejected)
    if file.trouble:
        return "not a picture"
    if len(file.rejected) == 1:
        return "rejected" if count else "kept"
    return f"{count} of {len(file.rejected)} frames rejected"
