"""`demo`: the product shown on this machine alone."""

import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.commands.console import Json, err, out, print_json

if TYPE_CHECKING:
    from worker.demonstration.demo import Demonstration
    from worker.demonstration.watch import Look, Progress

_POLL_S = 0.5
_INTERRUPTED = 130


def demo(
    folder: Annotated[
        Path | None,
        typer.Argument(help="DICOM, PNG or JPEG files to send; none: the radiographs shipped."),
    ] = None,
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="Where all files are left; default: a new folder.")
    ] = None,
    keep: Annotated[
        bool,
        typer.Option(
            "--keep",
            help="Leave all running until Ctrl-C; print the worklist's address and a sign-in.",
        ),
    ] = False,
    open_results: Annotated[
        bool, typer.Option("--open", help="Open a report, and with --keep the worklist.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Watch studies travel: C-STORE in, classifier and saliency maps, heatmaps and reports back.

    Starts the product on free loopback ports with a stand-in PACS, sends five radiographs and a
    drawn chest film, and stops everything again. It waits as long as the processes live and
    something moves. Exit code 1 if a process cannot run, or if any study lacks its outcome or its
    results.

    Examples: `fracture-screen demo`, `fracture-screen demo --keep`,
    `fracture-screen demo radiographs/ --json`
    """
    from worker.demonstration.demo import demonstrated
    from worker.errors import DemoFailed

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    target = out_folder or Path(tempfile.mkdtemp(prefix="fracture-screen-demo-"))
    try:
        with _progress_shown() as show, demonstrated(folder, target, show) as demonstration:
            complete = _present(demonstration, target, as_json=as_json, keep=keep, show=show)
            if complete and open_results:
                _open(demonstration, keep=keep)
            if complete and keep:
                _keep_running(demonstration)
            err.print("stopping the services")
    except DemoFailed as failure:
        err.print(f"error: {failure}", markup=False, soft_wrap=True)
        raise typer.Exit(1) from failure
    except KeyboardInterrupt:
        err.print("stopped before the end")
        raise typer.Exit(_INTERRUPTED) from None
    raise typer.Exit(0 if complete else 1)


def _present(
    demonstration: "Demonstration", target: Path, *, as_json: bool, keep: bool, show: "Progress"
) -> bool:
    """Print the answer; return whether it is complete."""
    from worker.demonstration import sign_in, table
    from worker.demonstration.product import LOG_FILE
    from worker.demonstration.watch import Look, Watch

    result, product = demonstration.result, demonstration.product
    account = None
    if keep and result.complete:
        account = sign_in.make_sign_in(demonstration.engine)
        watch = Watch(product, show)
        watch.until_finished(lambda: sign_in.look_for_worklist(product))
    show(Look("", finished=True))
    if as_json:
        answer = table.as_json(result)
        if account is not None:
            address = sign_in.worklist_address(product)
            answer["worklist"] = {
                "address": address,
                "name": account.name,
                "password": account.password,
            }
        print_json(answer)
    else:
        table.print_result(out, result, target)
        if account is not None:
            node = product.node
            out.print(
                f"\nworklist: {sign_in.worklist_address(product)}\n"
                f"sign in:  {account.name}, password {account.password}\n"
                f"listener: {node.ae_title} at {node.host}:{node.port}\n"
                "Running until Ctrl-C.",
                markup=False,
            )
    out.file.flush()
    if not result.complete:
        err.print(f"error: {table.failure_of(result, target / LOG_FILE)}", markup=False)
    return result.complete


def _open(demonstration: "Demonstration", *, keep: bool) -> None:
    from worker.demonstration.sign_in import worklist_address
    from worker.demonstration.table import example_of

    example = example_of(demonstration.result)
    if example is not None:
        typer.launch(str(example.report))
    if keep:
        typer.launch(worklist_address(demonstration.product))


def _keep_running(demonstration: "Demonstration") -> None:
    """Return on Ctrl-C; a process that ends is started again by its supervisor."""
    try:
        while True:
            for ended in demonstration.product.new_ends():
                err.print(f"{ended}\nIt is started again.", markup=False, soft_wrap=True)
            time.sleep(_POLL_S)
    except KeyboardInterrupt:
        return


@contextmanager
def _progress_shown() -> "Iterator[Progress]":
    """Yield a function that shows a look: a moving bar on a terminal, else a line per change."""
    if not err.is_terminal:
        yield _LinePerChange().show
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=err, transient=True) as progress:
        task = progress.add_task("starting", total=None)

        def show(look: "Look") -> None:
            if look.waiting_for:
                progress.update(
                    task, description=look.waiting_for, completed=look.done, total=look.total
                )
            else:
                progress.stop()

        yield show


class _LinePerChange:
    """Prints what is waited for and how much of it is done, whenever one of them changes."""

    def __init__(self) -> None:
        self._before = ""

    def show(self, look: "Look") -> None:
        """Print the look unless it says the same as the one before."""
        count = "" if look.total is None else f" {look.done}/{look.total}"
        line = f"{look.waiting_for}{count}"
        if look.waiting_for and line != self._before:
            err.print(line, markup=False)
            self._before = line
