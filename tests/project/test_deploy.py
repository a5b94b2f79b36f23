"""deploy/: no Docker engine and no Kubernetes here, so the files are linted, held against the published schemas, and
against the facts of the image and of the program."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from bot.definitions import load_directory
from bot.settings import Settings
from tests.project.dockerfile import ROOT, instructions, of

DEPLOY = ROOT / "deploy"
COMPOSE = DEPLOY / "compose.yaml"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
RULES = """
extends: default
rules:
  line-length: {max: 120}
  document-start: disable
  truthy: {check-keys: false}
"""


def objects() -> Iterator[tuple[str, Mapping[str, Any]]]:
    for path in MANIFESTS:
        for found in yaml.safe_load_all(path.read_text()):
            yield path.name, found


def named(kind: str) -> Mapping[str, Any]:
    (found,) = [found for _, found in objects() if found["kind"] == kind]
    return found


def pod() -> Mapping[str, Any]:
    spec: Mapping[str, Any] = named("Deployment")["spec"]["template"]["spec"]
    return spec


def container() -> Mapping[str, Any]:
    (found,) = pod()["containers"]
    return dict(found)


def compose() -> Mapping[str, Any]:
    found: Mapping[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return found


# ---- their form -----------------------------------------------------------------------------------------------------


def test_they_are_clean_yaml() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "yamllint", "--strict", "--format", "parsable", "-d", RULES, str(DEPLOY)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (told.returncode, told.stdout) == (0, ""), told.stdout + told.stderr


def schema_of_compose() -> Any:
    return json.loads((files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json").read_text())


def test_compose_is_what_the_specification_says() -> None:
    jsonschema.validate(compose(), schema_of_compose())


def test_the_specification_would_refuse_a_slip() -> None:
    slipped = json.loads(json.dumps(compose()))
    slipped["services"]["andon"]["read_olny"] = True
    with pytest.raises(jsonschema.ValidationError, match="read_olny"):
        jsonschema.validate(slipped, schema_of_compose())


@pytest.mark.parametrize("version", ["1.29", "1.36"])
def test_each_manifest_is_what_kubernetes_takes(version: str) -> None:
    """Strictly: a key that Kubernetes does not know is an error."""
    kinds = []
    for _, found in objects():
        kubernetes_validate.validate(found, version, strict=True)
        kinds.append(found["kind"])
    assert sorted(kinds) == ["Deployment", "PodDisruptionBudget", "Service"]


def test_kubernetes_would_refuse_a_slip() -> None:
    slipped = json.loads(json.dumps(named("Deployment")))
    slipped["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readynessProbe"):
        kubernetes_validate.validate(slipped, "1.36", strict=True)


# ---- what they promise ----------------------------------------------------------------------------------------------


def test_several_replicas_that_may_be_replaced_one_by_one() -> None:
    deployment = named("Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["replicas"] == 2
    assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    for selector in (
        deployment["spec"]["selector"]["matchLabels"],
        named("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        named("Service")["spec"]["selector"],
    ):
        assert selector.items() <= labels.items()
    assert named("PodDisruptionBudget")["spec"]["minAvailable"] < deployment["spec"]["replicas"]
    assert compose()["services"]["andon"]["deploy"]["replicas"] == 2


def test_nothing_runs_as_root_or_writes_where_it_need_not() -> None:
    user = int(of("USER")[-1].text)
    security = pod()["securityContext"]
    assert (security["runAsNonRoot"], security["runAsUser"]) == (True, user)
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not pod()["automountServiceAccountToken"]
    andon = compose()["services"]["andon"]
    assert (int(andon["user"]), andon["read_only"], andon["cap_drop"]) == (user, True, ["ALL"])
    assert andon["security_opt"] == ["no-new-privileges:true"]


def test_they_say_what_the_image_says() -> None:
    environment = dict(re.findall(r"(\w+)=(\S+)", " ".join(i.text for i in of("ENV"))))
    port = int(of("EXPOSE")[-1].text)
    assert [p["containerPort"] for p in container()["ports"]] == [port] == [int(environment["PORT"])]
    assert container()["args"] == of("CMD")[-1].words
    given = {item["name"]: item["value"] for item in container()["env"]}
    assert given == {name: environment[name] for name in ("HOST", "PORT")}
    assert named("Service")["spec"]["ports"][0]["targetPort"] == container()["ports"][0]["name"]
    mounts = {mount["mountPath"] for mount in container()["volumeMounts"]}
    assert {environment["ANDON_STATE"], "/tmp", f"{environment['ANDON_CONFIG']}/pipelines"} <= mounts
    assert {mount["name"] for mount in container()["volumeMounts"]} == {volume["name"] for volume in pod()["volumes"]}
    andon = compose()["services"]["andon"]
    assert andon["volumes"][0].split(":", 2)[2].endswith(f"{environment['ANDON_CONFIG']}:ro")
    assert any(place.startswith(environment["ANDON_STATE"]) for place in andon["tmpfs"])
    assert andon["ports"] == [f"127.0.0.1:{port}-{port + 1}:{port}"]


def test_probes_ask_what_the_image_asks() -> None:
    assert "/healthz" in next(i.text for i in instructions() if i.name == "HEALTHCHECK")
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container()[name]["httpGet"] == {"path": "/healthz", "port": "http"}
    liveness = container()["livenessProbe"]
    assert liveness["periodSeconds"] * liveness["failureThreshold"] >= 300, "a database that is away is no reason"


def test_the_settings_exist_and_no_secret_stands_in_a_file() -> None:
    andon = compose()["services"]["andon"]["environment"]
    example = (DEPLOY / "compose.env.example").read_text()
    operating = (ROOT / "docs" / "operating.md").read_text()
    for name, value in andon.items():
        assert f"`{name}`" in operating, name
        assert "${" in value, f"{name} is written out"
    for name in set(re.findall(r"\$\{(\w+)", COMPOSE.read_text())):
        assert re.search(rf"^{name}=", example, re.MULTILINE), name
    filled = re.findall(r"^(\w*(?:PASSWORD|TOKEN|SECRET)\w*)=(.+)$", example, re.MULTILINE)
    assert filled == []
    assert container()["envFrom"] == [{"secretRef": {"name": "andon"}}]


def test_the_database_url_of_compose_is_understood(tmp_path: Path) -> None:
    from storage.dialects import parse_url

    url = re.sub(
        r"\$\{POSTGRES_PASSWORD[^}]*\}", "abc123", compose()["services"]["andon"]["environment"]["DATABASE_URL"]
    )
    settings = Settings.from_environment({"DATABASE_URL": url, "ANDON_STATE": str(tmp_path)})
    parsed = parse_url(settings.database_url)
    database = compose()["services"]["database"]["environment"]
    assert (parsed.username, parsed.password, parsed.database) == (
        database["POSTGRES_USER"],
        "abc123",
        database["POSTGRES_DB"],
    )
    assert parsed.host in compose()["services"]


def test_the_example_configuration_fits_the_mounts() -> None:
    """Configmaps hold no folders: org.yaml is one, the files of pipelines/ are the other."""
    example = ROOT / "examples" / "shop" / "andon"
    assert load_directory(example, lambda *_: [], lambda *_: []).is_good
    assert {path.name for path in example.iterdir()} >= {"org.yaml", "pipelines"}
    assert all(path.is_file() for path in (example / "pipelines").iterdir())
