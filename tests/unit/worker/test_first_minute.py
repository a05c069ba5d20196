"""The command line as a newcomer meets it: light, and helpful where something is missing."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.servers.product import clean_environment, run_command

HEAVY = (
    "tensorflow",
    "keras",
    "onnxruntime",
    "cv2",
    "pydicom",
    "pynetdicom",
    "reportlab",
    "celery",
    "kombu",
    "fastapi",
    "uvicorn",
    "pandas",
    "alembic",
)
DATABASE = ("sqlalchemy", "pydantic_settings", "numpy")
LOADED = (
    "import sys\n"
    "from worker.cli import main\n"
    "try:\n"
    "    main()\n"
    "finally:\n"
    "    print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)\n"
)


def loaded_by(folder: Path, *arguments: str) -> set[str]:
    """Packages that a command imported, run to its end."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env=clean_environment(),
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A folder with settings.toml and an installation."""
    (tmp_path / "settings.toml").write_text(f'data_folder = "{tmp_path / "data"}"\n')
    done = run_command("db", "upgrade", "--config", str(tmp_path / "settings.toml"))
    assert done.returncode == 0, done.stderr
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("--version",),
        ("model", "--help"),
        ("up", "--help"),
        ("screen", "--help"),
        ("sweep", "plan", "--help"),
    ],
    ids=" ".join,
)
def test_help_and_version_import_nothing_that_commands_work_with(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    assert loaded_by(tmp_path, *arguments) & {*HEAVY, *DATABASE} == set()


@pytest.mark.parametrize(
    "arguments",
    [
        ("status",),
        ("status", "--json"),
        ("deliveries", "list"),
        ("users", "list"),
        ("sweep", "status"),
        ("settings", "show"),
    ],
    ids=" ".join,
)
def test_a_question_to_the_ledger_imports_no_network_dicom_broker_or_web_server(
    begun: Path, arguments: tuple[str, ...]
) -> None:
    assert loaded_by(begun, "--config", "settings.toml", *arguments) & {*HEAVY} == set()


def test_the_version_is_printed() -> None:
    done = run_command("--version")
    assert (done.returncode, done.stdout) == (0, f"fracture-screen {version('fracture-screen')}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--config", "settings.toml", "status", "--json"),
        ("status", "--config", "settings.toml", "--json"),
        ("status", "--json", "--config=settings.toml"),
    ],
    ids=" ".join,
)
def test_the_settings_file_may_be_named_before_or_after_the_command(
    begun: Path, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(begun)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    done = run_command(*arguments)
    assert done.returncode == 0, done.stderr


def test_what_follows_two_dashes_is_no_option_of_ours(begun: Path) -> None:
    done = run_command("--config", str(begun / "settings.toml"), "retry", "--", "--config")
    assert done.returncode == 2
    assert "study --config is not FAILED" in done.stderr


def test_a_settings_file_that_is_not_named_after_its_option_is_asked_for() -> None:
    done = run_command("status", "--config")
    assert done.returncode == 2
    assert done.stderr == (
        "error: --config needs the settings file after it: --config settings.toml\n"
    )


READING = (
    ("status",),
    ("retry", "1.2.3"),
    ("deliveries", "list"),
    ("users", "list"),
    ("audit", "list"),
    ("model", "list"),
    ("model", "history"),
    ("sweep", "status"),
    ("sweep", "plan", "--known"),
    ("flags", "show", "1.2.3"),
    ("purge", "--dry-run"),
    ("backup", "copy"),
    ("reviews", "export", "--out", "reviews"),
)


@pytest.mark.parametrize("arguments", READING, ids=" ".join)
def test_a_question_where_nothing_was_begun_makes_nothing_and_says_where_it_looked(
    tmp_path: Path, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    done = run_command(*arguments)
    assert done.returncode == 2, done.stdout
    data = tmp_path / "fracture-screen-data"
    assert f"there is no installation: {data / 'ledger.sqlite'} does not exist" in done.stderr
    assert "settings file: none; name it: fracture-screen --config settings.toml" in done.stderr
    assert "environment: no variable FRACTURE_SCREEN_" in done.stderr
    assert f"data_folder: {data}" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_file_and_variables_that_were_used_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "settings.toml"
    config.write_text(f'data_folder = "{tmp_path / "elsewhere"}"\n')
    environment = {**clean_environment(), "FRACTURE_SCREEN_CONFIG": str(config)}
    done = subprocess.run(
        [sys.executable, "-m", "worker.cli", "status"],
        capture_output=True,
        text=True,
        env=environment | {"FRACTURE_SCREEN_STUDY__QUIET_PERIOD_S": "3"},
    )
    assert done.returncode == 2
    assert f"settings file: {config} (named by FRACTURE_SCREEN_CONFIG)" in done.stderr
    assert "environment: FRACTURE_SCREEN_STUDY__QUIET_PERIOD_S" in done.stderr
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_of_another_database_is_not_made_by_a_question(tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text(
        f'data_folder = "{tmp_path / "data"}"\ndatabase_url = "sqlite:///{tmp_path}/other.sqlite"\n'
    )
    done = run_command("--config", str(config), "status")
    assert done.returncode == 2
    assert "other.sqlite does not exist" in done.stderr
    assert list(tmp_path.iterdir()) == [config]


def test_a_sweep_of_a_source_that_the_settings_lack_is_told_the_lines_to_add(
    begun: Path,
) -> None:
    done = run_command("--config", str(begun / "settings.toml"), "sweep", "plan", "--source", "x")
    assert done.returncode == 2
    assert "the settings have no [[sources]]" in done.stderr
    for line in ("[[sources]]", 'name = "x"', "ae_title", "host", "port"):
        assert line in done.stderr


def test_a_misspelt_source_is_told_those_that_there_are(begun: Path) -> None:
    config = begun / "settings.toml"
    with config.open("a") as file:
        file.write('[[sources]]\nname = "archive"\nae_title = "A"\nhost = "h"\nport = 104\n')
    done = run_command("--config", str(config), "sweep", "plan", "--source", "archiv")
    assert done.returncode == 2
    assert "there is no source 'archiv'; [[sources]] of the settings has: archive" in done.stderr
