"""`fracture-screen reference commands`: docs/commands.md, from the command line's own help."""

from collections.abc import Iterator, Sequence

from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

_HEAD = """# Commands

Written by `fracture-screen reference commands`; a test holds it against the code.

The settings file is named by `--config`, as in `fracture-screen --config settings.toml status`; it
may stand after the command, too. Without it the file that the variable `FRACTURE_SCREEN_CONFIG`
names holds, else the [defaults](settings.md). The option `--version` prints the version.

| exit code | |
|---|---|
| 0 | done |
| 1 | done, and the answer is no: a gate failed, something is missing |
| 2 | not done; the message names what was wrong, the setting and the fix |

Only the services (`up`, `listen` …), `demo`, `db upgrade`, `restore`, `users add`, `model import`
and `sweep start` begin an installation. Another command that needs one ends with 2 where there is
none, says where it looked, and makes neither folder nor database. What a command prints goes to
standard output, its log and progress to standard error, so `--json` can be piped.
"""


def commands_page(root: TyperGroup) -> str:
    """Markdown, in the order of `--help`. The same code gives the same text."""
    return "\n".join([_HEAD, *(_entry(name, command) for name, command in _walk(root, ""))])


def _walk(group: TyperGroup, prefix: str) -> Iterator[tuple[str, TyperCommand]]:
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from _walk(command, f"{prefix}{name} ")
        elif isinstance(command, TyperCommand) and not command.hidden:
            yield prefix + name, command


def _entry(name: str, command: TyperCommand) -> str:
    lines = [f"## {name}", "", _text(command.help or ""), ""]
    shown = [one for one in command.params if not getattr(one, "hidden", False)]
    rows = [_argument(one) for one in shown if isinstance(one, TyperArgument)]
    rows += [_option(one) for one in shown if isinstance(one, TyperOption)]
    if rows:
        lines += ["| | default | meaning |", "|---|---|---|", *rows, ""]
    return "\n".join(lines)


def _argument(one: TyperArgument) -> str:
    name = (one.name or "").upper() + (" …" if one.nargs == -1 else "")
    return _row(f"`{name}`", one.required, one.default, one.help)


def _option(one: TyperOption) -> str:
    name = " / ".join(f"`{each}`" for each in [*one.opts, *one.secondary_opts])
    if one.multiple:
        name += " …"
    return _row(name, one.required, one.default, one.help)


def _row(name: str, required: bool, default: object, meaning: str | None) -> str:
    return f"| {name} | {_default(required, default)} | {_text(meaning or '')} |"


def _default(required: bool, default: object) -> str:
    if required:
        return "**required**"
    if default is None or default == "" or default is False or default == ():
        return "–"
    if default is True:
        return "yes"
    return f"`{default}`"


def _text(text: str) -> str:
    paragraphs: Sequence[str] = [" ".join(part.split()) for part in text.split("\n\n")]
    return "\n\n".join(paragraphs).replace("|", "\\|")
