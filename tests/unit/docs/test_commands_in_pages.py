"""Every command in a page can be parsed; each block is run by a test or says that it is not.

Which blocks are run, and by which test, stands in `RUN_BY`: a page with such blocks that is not
there fails. The tests named there take the blocks out of the page themselves.
"""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.core import TyperCommand, TyperGroup
from typer.testing import CliRunner

from tests.paths import REPOSITORY
from tests.unit.docs.pages import ALL_BLOCKS, PAGES, blocks_of
from worker.cli import app

RUN_BY = {
    "docs/training.md": "tests/unit/docs/test_training_page.py",
    "docs/first-hour.md": "tests/e2e/test_first_hour.py",
    "docs/operations.md": "tests/e2e/test_followed_in_the_log.py",
}

ROOT = typer.main.get_command(app)
_INLINE = re.compile(r"(?<!`)`(fracture-screen [a-z-][^`\n]*)`")
_SHELL_ENDS = {"|", ">", "2>", "&", "&&", "||", ";", "#", "<"}


def name_of(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


def command_lines(text: str) -> Iterator[list[str]]:
    """The words after `fracture-screen` of each command, up to what is the shell's."""
    for line in text.splitlines():
        for rest in re.findall(r"(?:^|[\s/])fracture-screen( .*)", line):
            words = shlex.split(rest, comments=True)
            ends = [
                i for i, word in enumerate(words) if word.rstrip(";") != word or word in _SHELL_ENDS
            ]
            yield [word.rstrip(";") for word in words[: ends[0] if ends else None]]


def parse(words: list[str]) -> None:
    """Have the program's own parser read the words; raises what it raises. Runs nothing."""
    group, context = ROOT, None
    while isinstance(group, TyperGroup):
        context = group.make_context("fracture-screen", list(words), parent=context)
        rest = [*context._protected_args, *context.args]
        name, command, words = group.resolve_command(context, rest)
        assert command is not None, name
        group = command
    assert isinstance(group, TyperCommand)
    group.make_context(group.name or "", list(words), parent=context)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_in_a_block_of_a_page_can_be_parsed(page: Path) -> None:
    for block in blocks_of(page):
        for words in command_lines(block.content) if block.is_shell else ():
            parse(words)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_in_a_line_of_a_page_names_commands_and_options_that_there_are(
    page: Path,
) -> None:
    for line in _INLINE.findall(page.read_text()):
        known(line.split()[1:])


def known(words: list[str]) -> None:
    """Fail where a word is no command or an option is none: arguments may be left out in a line."""
    if words[:1] == ["--config"]:
        words = words[2:]
    command: object = ROOT
    while isinstance(command, TyperGroup) and words and words[0] in command.commands:
        command, words = command.commands[words[0]], words[1:]
    assert not isinstance(command, TyperGroup) or not words, words
    if isinstance(command, TyperCommand):
        options = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
        stated = {word.split("=")[0] for word in words if word.startswith("--")}
        assert stated <= options, stated - options


@pytest.mark.parametrize("words", [["sweep", "plan", "--dayz", "3"], ["sweeps"], ["users", "add"]])
def test_what_the_program_would_refuse_is_found(words: list[str]) -> None:
    with pytest.raises(Exception, match=r"(?i)no such|missing"):
        parse(words)


def test_every_block_with_our_commands_is_one_of_the_shell() -> None:
    hidden = [
        (name_of(block.page), line)
        for block in ALL_BLOCKS
        if not block.is_shell
        for line in block.content.splitlines()
        if re.match(r"(\.venv/bin/)?fracture-screen |make [a-z]+$", line)
    ]
    assert hidden == []


def test_every_page_whose_blocks_claim_to_be_run_has_its_test() -> None:
    claims = {
        name_of(block.page)
        for block in ALL_BLOCKS
        if block.is_shell and not block.is_marked_as_not_run
    }
    assert claims == set(RUN_BY)
    for page, test in RUN_BY.items():
        text = (REPOSITORY / test).read_text()
        assert Path(page).name in text, test


OFFLINE = (
    "db upgrade",
    "settings show",
    "status",
    "conformance",
    "reference settings",
    "reference commands",
    "deliveries list",
    "model list",
    "model history",
    "sweep status",
    "users list",
    "audit list",
)
"""Need no peer, no terminal and nothing that was received; each stands in some page."""


def offline_lines() -> list[str]:
    """As the pages have them, in lines and in blocks."""
    lines = {line for page in PAGES for line in _INLINE.findall(page.read_text())}
    lines |= {
        shlex.join(["fracture-screen", *words])
        for block in ALL_BLOCKS
        if block.is_shell
        for words in command_lines(block.content)
    }
    plain = {line: line.replace(" --config settings.toml", "") for line in lines}
    return sorted(
        line
        for line, words in plain.items()
        if any(re.match(rf"fracture-screen {name}(?: --[a-z]|$)", words) for name in OFFLINE)
    )


def test_every_command_that_needs_nobody_runs_on_a_machine_without_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("settings.toml").write_text('data_folder = "data"\n')
    monkeypatch.setenv("FRACTURE_SCREEN_DATA_FOLDER", str(tmp_path / "data"))
    runner, lines = CliRunner(), offline_lines()
    assert runner.invoke(app, ["db", "upgrade"]).exit_code == 0
    ran = {name for name in OFFLINE for line in lines if f" {name}" in line}
    assert ran == set(OFFLINE)
    for line in lines:
        done = runner.invoke(app, shlex.split(line)[1:])
        assert done.exit_code == 0, (line, done.output, done.exception)
