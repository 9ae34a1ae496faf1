"""The search cluster as the API server would get it."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.search.component import Search
from components.search.config import Engine
from lab.toolchain import tools
from services.index_manager import IndexManagerSettings as Settings
from tests.support import engine, schemas
from tests.unit.search import recording as cluster

ENGINES = tuple(Engine)
_BCRYPT = re.compile(r"\$2[aby]\$\d\d\$")


def server(kind: Engine = Engine.OPENSEARCH) -> dict[str, Any]:
    pod = cluster.recorded(kind).one("StatefulSet", "search")["spec"]["template"]["spec"]
    container: dict[str, Any] = pod["containers"][0]
    return container


def named(items: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {item["mountPath"]: item for item in items}


@pytest.mark.parametrize("kind", ENGINES)
def test_kubeconform_accepts_every_manifest(kind: Engine, tmp_path: Path) -> None:
    manifests = cluster.recorded(kind).manifests()
    for number, manifest in enumerate(manifests):
        (tmp_path / f"{number}.json").write_text(json.dumps(manifest))
    location = f"{schemas.folder()}/{schemas.LOCATION}"
    command = [tools.path("kubeconform"), "-strict", "-summary", "-output", "json", "-schema-location", location]
    done = subprocess.run([*command, tmp_path], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)["summary"]["valid"] == len(manifests)


def test_nodes_start_together_are_rolled_one_by_one_and_are_ready_by_the_clusters_health() -> None:
    spec = cluster.recorded().one("StatefulSet", "search")["spec"]
    assert spec["replicas"] == 3
    assert spec["podManagementPolicy"] == "Parallel"
    assert spec["updateStrategy"] == {"type": "RollingUpdate"}
    probe = server()["readinessProbe"]
    question = ["python3", "/etc/search/copies_started.py", "/etc/search/probe.json"]
    assert probe["exec"]["command"] == ["bash", "/etc/search/catching-up.sh", "9200", "/tmp/caught-up", *question]
    assert server()["startupProbe"]["tcpSocket"] == server()["livenessProbe"]["tcpSocket"] == {"port": 9200}
    assert {"catching-up.sh", "copies_started.py"} <= set(cluster.recorded().one("ConfigMap", "search")["data"])
    assert cluster.recorded().one("PodDisruptionBudget", "search")["spec"]["maxUnavailable"] == 1


@pytest.mark.parametrize("kind", ENGINES)
def test_every_path_that_the_settings_name_is_mounted(kind: Engine) -> None:
    mounts = named(server(kind)["volumeMounts"])
    directory = {"opensearch": "/etc/opensearch", "elasticsearch": "/etc/elasticsearch"}[kind.value]
    assert not mounts[directory].get("readOnly")
    assert not mounts["/var/lib/search"].get("readOnly")
    for path in (f"{directory}/tls", f"{directory}/{kind.value}.yml", f"{directory}/log4j2.properties"):
        assert mounts[path]["readOnly"]
    volumes = cluster.recorded(kind).one("StatefulSet", "search")["spec"]["template"]["spec"]["volumes"]
    secrets = {volume["name"]: volume["secret"]["secretName"] for volume in volumes if "secret" in volume}
    assert secrets[mounts[f"{directory}/tls"]["name"]] == "search-tls"
    files = {*cluster.recorded(kind).one("ConfigMap", "search")["data"]}
    files |= {*cluster.recorded(kind).one("Secret", "search-security")["stringData"]}
    assert {mount["subPath"] for mount in mounts.values() if "subPath" in mount} <= files


def test_only_clients_with_the_label_reach_the_api_and_only_nodes_the_transport() -> None:
    spec = cluster.recorded().one("NetworkPolicy", "search")["spec"]
    label = {"podSelector": {"matchLabels": {"obs.access/search": "true"}}}
    own = {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "search", "app.kubernetes.io/part-of": "obs"}}}
    assert [(rule["from"], [port["port"] for port in rule["ports"]]) for rule in spec["ingress"]] == [
        ([label], [9200]),
        ([own], [9300]),
    ]
    assert [(rule["to"], [port["port"] for port in rule["ports"]]) for rule in spec["egress"][:-1]] == [([own], [9300])]


def test_the_index_manager_reaches_the_cluster_and_is_ready_when_everything_is_in_place() -> None:
    deployment = cluster.recorded().one("Deployment", "index-manager")["spec"]
    assert deployment["replicas"] == 1
    assert deployment["template"]["metadata"]["labels"]["obs.access/search"] == "true"
    container = deployment["template"]["spec"]["containers"][0]
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": 8080, "scheme": "HTTPS"}
    egress = cluster.recorded().one("NetworkPolicy", "index-manager")["spec"]["egress"]
    assert egress[0]["ports"] == [{"port": 9200, "protocol": "TCP"}]


@pytest.mark.parametrize("kind", ENGINES)
def test_the_index_manager_accepts_its_settings(kind: Engine) -> None:
    settings = Settings.parse(
        yaml.safe_load(cluster.recorded(kind).one("ConfigMap", "index-manager")["data"]["config.yaml"])
    )
    assert settings.url == "https://search.obs.svc.cluster.local:9200"
    assert (settings.access is None) == (kind is Engine.ELASTICSEARCH)
    assert {family.keep_s for family in settings.families} == {7 * 86400, 14 * 86400}


def test_the_administrators_certificate_is_its_own_and_the_nodes_know_it_by_name() -> None:
    spec = cluster.recorded().one("Certificate", "search-admin")["spec"]
    assert spec["commonName"] == "search-admin"
    assert spec["usages"] == ["digital signature", "client auth"]
    assert "dnsNames" not in spec
    assert cluster.recorded().one("Certificate", "search")["spec"]["commonName"] == "search"
    settings = yaml.safe_load(cluster.recorded().one("ConfigMap", "search")["data"]["opensearch.yml"])
    assert settings["plugins.security.authcz.admin_dn"] == ["CN=search-admin"]
    assert settings["plugins.security.nodes_dn"] == ["CN=search"]


@pytest.mark.parametrize("kind", ENGINES)
def test_passwords_and_their_hashes_are_in_secrets_only(kind: Engine) -> None:
    recording = cluster.recorded(kind)
    public = "".join(engine.texts([manifest for manifest in recording.manifests() if manifest["kind"] != "Secret"]))
    assert not [name for name, value in recording.passwords.items() if value in public]
    assert not _BCRYPT.search(public)
    hashed = "".join(engine.texts(recording.one("Secret", "search-security")["stringData"]))
    assert not [name for name, value in recording.passwords.items() if value in hashed]
    assert len(_BCRYPT.findall(hashed)) == len(cluster.USERS) + (4 if kind is Engine.ELASTICSEARCH else 3)


def test_each_client_gets_its_own_user_and_the_own_users_are_not_handed_out() -> None:
    seen: list[Search] = []
    recording = cluster.run(cluster.search_args(), seen.append)
    endpoint = seen[0].endpoint
    assert sorted(endpoint.users) == sorted(user.name for user in cluster.USERS)
    assert endpoint.url == "https://search.obs.svc.cluster.local:9200"
    assert endpoint.access_label == "obs.access/search"
    assert len(set(recording.passwords.values())) == len(recording.passwords)
    assert seen[0].scrape.job == "index-manager"


def test_more_copies_than_nodes_are_refused() -> None:
    with pytest.raises(Exception, match="search: traces have 1 further copies on 1 nodes; allowed: 0 to 0"):
        cluster.run(cluster.search_args(nodes=1))
