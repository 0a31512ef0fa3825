"""What is under `deploy/` is right: by the systems' own schemas, and with the image and the configuration it names."""

import copy
import re
from pathlib import Path

import kubernetes_validate
import pytest
import requests
import yaml

from app.settings import load_settings
from app.wiring import Wiring
from tests.parts.arm import faults
from tests.parts.commands import commands
from tests.parts.server import Server, until

ROOT = Path(__file__).parents[1]
KUBERNETES = sorted((ROOT / "deploy/kubernetes").glob("*.yaml"))
CONTAINER_APPS = sorted((ROOT / "deploy/container-apps").glob("*.yaml"))
OLDEST = "1.29"  # PodDisruptionBudget, topology spread and seccomp are as written since long before
IMAGE = (ROOT / "Dockerfile").read_text()
USER = int(re.search(r"^USER (\d+)$", IMAGE, flags=re.MULTILINE)[1])
DATA = re.search(r"^VOLUME (\S+)$", IMAGE, flags=re.MULTILINE)[1]


def documents():
    return [one for path in KUBERNETES for one in yaml.safe_load_all(path.read_text())]


def of_kind(kind):
    return {one["metadata"]["name"]: one for one in documents() if one["kind"] == kind}


def containers():
    """Every container, of either system."""
    pods = [one["spec"]["template"]["spec"] for one in of_kind("Deployment").values()]
    apps = [yaml.safe_load(path.read_text())["properties"]["template"] for path in CONTAINER_APPS]
    return [container for one in (*pods, *apps) for container in one["containers"]]


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
def test_every_manifest_is_taken_by_kubernetes_own_schema(version):
    found = documents()
    assert {one["kind"] for one in found} == {
        "ConfigMap", "Deployment", "NetworkPolicy", "PodDisruptionBudget", "Service",
    }  # fmt: skip
    for document in found:
        kubernetes_validate.validate(document, version, strict=True)


def test_the_schema_refuses_what_is_no_kubernetes():
    broken = copy.deepcopy(of_kind("Deployment")["leadwire-workers"])
    broken["spec"]["template"]["spec"]["containers"][0]["readOnlyRootFilesystem"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("path", CONTAINER_APPS, ids=lambda path: path.name)
def test_every_container_app_is_one_by_microsofts_own_models(path):
    document = yaml.safe_load(path.read_text())
    assert faults(document) == []


def test_the_models_refuse_what_is_no_container_app():
    document = yaml.safe_load(CONTAINER_APPS[0].read_text())
    container = document["properties"]["template"]["containers"][0]
    container["probes"][0]["type"] = "Sometimes"
    container["resources"]["cpu"] = "half"
    container["port"] = 8080
    document["properties"]["provisioningState"] = "Succeeded"
    del document["location"]
    said = "\n".join(faults(document))
    for wrong in ("location: missing", "'Sometimes' is none of", "'half' is no float", ".port: unknown", "read-only"):
        assert wrong in said


def test_pods_run_as_the_image_s_user_and_write_where_it_may():
    for deployment in of_kind("Deployment").values():
        pod = deployment["spec"]["template"]["spec"]
        assert (pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsNonRoot"]) == (USER, True)
        assert pod["securityContext"]["fsGroup"] == USER
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            mounted = {one["mountPath"]: one["name"] for one in container["volumeMounts"]}
            volumes = {one["name"]: one for one in pod["volumes"]}
            assert set(mounted.values()) == set(volumes)
            assert "emptyDir" in volumes[mounted[DATA]]
            assert "emptyDir" in volumes[mounted["/tmp"]]  # noqa: S108  (the pod's own)


def test_selectors_find_the_pods_they_are_meant_for():
    labels = {name: one["spec"]["template"]["metadata"]["labels"] for name, one in of_kind("Deployment").items()}
    for name, deployment in of_kind("Deployment").items():
        assert deployment["spec"]["selector"]["matchLabels"] == labels[name]
        (budget,) = (one for one in of_kind("PodDisruptionBudget").values() if one["metadata"]["name"] == name)
        assert budget["spec"]["selector"]["matchLabels"] == labels[name]
        assert budget["spec"]["minAvailable"] < deployment["spec"]["replicas"]
        policy = of_kind("NetworkPolicy")[name]
        assert policy["spec"]["podSelector"]["matchLabels"] == labels[name]
    service = of_kind("Service")["leadwire"]["spec"]
    assert service["selector"] == labels["leadwire-receivers"]
    outbound = of_kind("NetworkPolicy")["leadwire-outbound"]["spec"]["podSelector"]["matchLabels"]
    assert all(outbound.items() <= one.items() for one in labels.values())


def test_every_container_starts_a_command_that_there_is_with_options_that_it_has():
    known = commands()
    for container in containers():
        words = container["args"]
        with known[words[0]].make_context(words[0], list(words[1:])) as context:
            assert context.params.get("bind", "0.0.0.0:8080") == "0.0.0.0:8080"


def test_the_configuration_is_one_and_every_secret_it_names_is_given(tmp_path, monkeypatch):
    text = of_kind("ConfigMap")["leadwire"]["data"]["leadwire.toml"]
    wanted = set(re.findall(r'"env:(\w+)"', text))
    told = re.search(r"kubectl create secret(.*?)\n#\n", KUBERNETES[0].read_text(), flags=re.DOTALL)[1]
    assert set(re.findall(r"--from-literal=(\w+)=", told)) == wanted
    for path in CONTAINER_APPS:
        (container,) = yaml.safe_load(path.read_text())["properties"]["template"]["containers"]
        assert {one["name"] for one in container["env"] if "secretRef" in one} == wanted
    for name in wanted:
        monkeypatch.setenv(name, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
    config = tmp_path / "leadwire.toml"
    config.write_text(text)
    wiring = Wiring.of(load_settings(config))
    wiring.destination("crm").close()


@pytest.mark.parametrize("path", CONTAINER_APPS, ids=lambda path: path.name)
def test_every_secret_that_a_container_app_uses_is_one_of_its_own(path):
    properties = yaml.safe_load(path.read_text())["properties"]
    given = {one["name"] for one in properties["configuration"]["secrets"]}
    template = properties["template"]
    used = {one["secretRef"] for container in template["containers"] for one in container["env"] if "secretRef" in one}
    used |= {one["secretRef"] for volume in template["volumes"] for one in volume.get("secrets", [])}
    assert used == given


def probes():
    """What is asked, and where; of either system."""
    found = set()
    for container in containers():
        found |= {(one["type"].lower(), one["httpGet"]["path"]) for one in container.get("probes", [])}
        pods = {kind: container.get(f"{kind}Probe") for kind in ("startup", "liveness", "readiness")}
        found |= {(kind, one["httpGet"]["path"]) for kind, one in pods.items() if one}
    return found


def test_receivers_stay_in_service_while_nobody_delivers_and_leave_it_with_the_store(server: Server):
    asked = probes()
    assert asked == {("startup", "/healthz"), ("liveness", "/healthz"), ("readiness", "/readyz?without=worker")}
    server.start("--no-worker")
    for _, path in asked:
        assert requests.get(server.url + path, timeout=10).status_code == requests.codes.ok
    assert requests.get(f"{server.url}/readyz", timeout=10).status_code == requests.codes.service_unavailable
    (server.folder / "var/leadwire.db").unlink()
    assert until(lambda: not server.answers("/readyz?without=worker"), seconds=10)
    assert server.answers("/healthz")
