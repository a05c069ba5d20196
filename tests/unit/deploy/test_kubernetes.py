"""The manifests: valid by the API's schema, and joined by names that there are."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.deploy.deployment import DEPLOY, MANIFESTS, OBJECTS, OURS, make_secrets, pods
from worker.settings import field_reference

PODS = dict(pods())
COMPONENT = "app.kubernetes.io/component"


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [one for one in OBJECTS if one["kind"] == kind]


@pytest.mark.parametrize("version", ["1.28", "1.32"])
def test_they_are_valid_by_the_schema_of_kubernetes(version: str) -> None:
    validate = [sys.executable, "-m", "kubernetes_validate", "--strict", "-k", version]
    done = subprocess.run([*validate, *map(str, MANIFESTS)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", PODS)
def test_a_pod_may_do_nothing_that_it_need_not(name: str) -> None:
    pod = PODS[name]
    (container,) = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"]["memory"]
    assert ":" in container["image"]


@pytest.mark.parametrize("name", PODS)
def test_what_a_pod_mounts_is_there(name: str) -> None:
    pod = PODS[name]
    volumes = {one["name"]: one for one in pod["volumes"]}
    assert {one["name"] for one in pod["containers"][0]["volumeMounts"]} == set(volumes)
    assert volumes["settings"]["configMap"]["name"] == of_kind("ConfigMap")[0]["metadata"]["name"]
    claim = of_kind("PersistentVolumeClaim")[0]
    assert volumes["data"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]


@pytest.mark.parametrize("name", sorted(set(PODS) - {"upgrade"}))
def test_a_pod_is_probed_and_has_time_to_end(name: str) -> None:
    (container,) = PODS[name]["containers"]
    assert "startupProbe" in container
    assert PODS[name]["terminationGracePeriodSeconds"] >= 30


@pytest.mark.parametrize("name", PODS)
def test_a_pod_s_environment_is_of_settings_that_there_are(name: str) -> None:
    fields = [field for field, _, _ in field_reference()]
    known = {f"FRACTURE_SCREEN_{field.replace('.', '__').upper()}" for field in fields}
    for variable in PODS[name]["containers"][0]["env"]:
        assert variable["name"] in known


def test_pods_run_what_compose_runs_as_the_same_images() -> None:
    for name, service in OURS.items():
        (container,) = PODS[name]["containers"]
        assert container["args"] == service["command"]
        assert container["image"] == service["image"]


def test_the_settings_are_those_of_the_example() -> None:
    (settings,) = of_kind("ConfigMap")
    assert settings["data"] == {"settings.toml": (DEPLOY / "settings.toml").read_text()}


def test_no_secret_is_kept_here_and_those_that_are_named_are_made(tmp_path: Path) -> None:
    assert not of_kind("Secret")
    made = {path.name for path in make_secrets(tmp_path).iterdir()}
    for pod in PODS.values():
        mount = "/run/secrets/fracture-screen/"
        for variable in pod["containers"][0]["env"]:
            if variable["name"].endswith("_FILE"):
                assert variable["value"].removeprefix(mount) in made


def test_services_budgets_and_policies_select_pods_that_there_are() -> None:
    selected = [one["spec"]["selector"] for one in of_kind("Service")]
    selected += [one["spec"]["selector"]["matchLabels"] for one in of_kind("PodDisruptionBudget")]
    policies = [one["spec"]["podSelector"] for one in of_kind("NetworkPolicy")]
    selected += [one["matchLabels"] for one in policies if one]
    assert len(selected) == len(of_kind("Service")) + len(of_kind("PodDisruptionBudget")) + 3
    assert {labels[COMPONENT] for labels in selected} <= set(PODS)


def test_who_has_a_budget_has_another_pod_to_go_on() -> None:
    replicas = {one["metadata"]["name"]: one["spec"]["replicas"] for one in of_kind("Deployment")}
    budgets = {one["metadata"]["name"] for one in of_kind("PodDisruptionBudget")}
    assert budgets == {name for name, count in replicas.items() if count > 1}


def test_a_gpu_is_asked_for_where_it_is() -> None:
    pod = PODS["screening-gpu"]
    assert pod["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert pod["tolerations"][0]["key"] == "nvidia.com/gpu"
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1


def test_everything_is_in_the_one_namespace() -> None:
    (namespace,) = of_kind("Namespace")
    for one in OBJECTS:
        if one is not namespace:
            assert one["metadata"]["namespace"] == namespace["metadata"]["name"]
    assert yaml.safe_load(MANIFESTS[0].read_text())["kind"] == "Namespace"
