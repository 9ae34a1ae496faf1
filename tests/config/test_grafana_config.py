"""Grafana's files as they are in its pods, read by parsers of their formats and by the fake that runs them here.

Grafana itself is not to be had here. What it would not know is found by name; what the fake refuses, it would not
start with (tests/config/grafana_fake runs it).
"""

from __future__ import annotations

import configparser
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from lab.fakes.grafana.known_settings import expected, type_of
from policy.documents import Format, parse
from tests.config.pki import write_certificates
from tests.unit.grafana.stubs import Made, login, make, oidc

SECRETS = "/etc/grafana-secrets"
ROOT = Path(__file__).parents[2]
READ = """
import json, pathlib, sys
from lab.fakes.grafana import directory as directories, settings, sources
from lab.fakes.grafana.settings import Ini

pod = pathlib.Path(sys.argv[1])
found = settings.load(Ini(pod / "grafana.ini", {}), pathlib.Path("/usr/share/grafana"))
[directory] = directories.load(pod / "ldap.toml", {})
asked = sources.load(pod / "provisioning", {})
answer = {
    "settings": {
        "port": found.port,
        "administrator": found.login.admin_user,
        "same_site": found.login.same_site,
        "brute_force": found.login.brute_force,
        "authority": str(found.database.ca_file),
        "sources": str(found.sources),
    },
    "roles": [each.role for each in directory.mappings],
    "sources": {each.uid: [each.type, each.user, each.password] for each in asked},
}
print(json.dumps(answer))
"""
"""The fake's own readers, in a process of their own, as in its pod."""
FILES = {"grafana.ini": "grafana", "ldap.toml": "grafana", "datasources.yaml": "grafana-sources"}


def read(component: Made) -> dict[str, dict[str, str]]:
    parser = configparser.RawConfigParser(delimiters=("=",), strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(component.file("ConfigMap", "grafana", "grafana.ini"))
    return {section: dict(parser.items(section)) for section in parser.sections()}


def with_provider() -> dict[str, Any]:
    return {"oidc": oidc(), "address": None, "hosts": ["grafana.example.org"]}


@pytest.fixture(scope="module")
def component() -> Made:
    return make()


@pytest.fixture
def pod(component: Made, tmp_path: Path) -> Path:
    """The files of a pod, with the paths of that pod moved here."""
    write_certificates(tmp_path)
    held = component.recording.one("Secret", "grafana-secrets")["stringData"]
    for name, text in held.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "directory-ca.pem").write_text((tmp_path / "ca.crt").read_text())
    (tmp_path / "provisioning").mkdir()
    for name, holder in FILES.items():
        text = component.file("ConfigMap", holder, name)
        moved = text.replace(SECRETS, str(tmp_path)).replace("/etc/tls", str(tmp_path))
        (tmp_path / ("provisioning" if name.endswith(".yaml") else "") / name).write_text(moved)
    return tmp_path


@pytest.mark.parametrize("change", [dict, with_provider], ids=["usual", "with a provider"])
def test_grafana_knows_every_setting_that_is_written_and_reads_it_as_it_is_meant(change: Any) -> None:
    entries = [(section, key, value) for section, held in read(make(change)).items() for key, value in held.items()]
    foreign = [f"[{section}] {key}" for section, key, _ in entries if type_of(section, key) is None]
    assert foreign == []
    plain = [(section, key, value) for section, key, value in entries if "$__" not in value]
    assert [(option, wrong) for *option, value in plain if (wrong := expected(type_of(*option) or "", value))] == []


def test_grafana_would_ignore_a_mistyped_setting_and_the_fake_refuses_it() -> None:
    assert type_of("security", "cookie_secured") is None
    assert type_of("alerting", "enabled") is None


def test_no_section_is_written_twice_and_no_value_is_cut_off(component: Made) -> None:
    text = component.file("ConfigMap", "grafana", "grafana.ini")
    lines = [line for line in text.splitlines() if line]
    assert sum(line.startswith("[") for line in lines) == len(read(component))
    assert not any("#" in line or ";" in line for line in lines)


def test_the_policies_recognise_each_file_as_what_it_is(component: Made) -> None:
    formats = {name: parse(name, component.file("ConfigMap", holder, name))[0] for name, holder in FILES.items()}
    assert formats["grafana.ini"] is Format.GRAFANA
    assert formats["datasources.yaml"] is Format.DATASOURCES


def test_the_directorys_file_is_toml_with_one_server_three_roles_and_no_password(component: Made) -> None:
    text = component.file("ConfigMap", "grafana", "ldap.toml")
    [server] = tomllib.loads(text)["servers"]
    assert server["bind_password"] == "$__file{/etc/grafana-secrets/ldap-bind}"
    assert [group_mapping["org_role"] for group_mapping in server["group_mappings"]] == ["Admin", "Editor", "Viewer"]
    assert server["attributes"]["username"] == "uid"


def test_the_fake_takes_each_file_and_understands_it(pod: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", READ, str(pod)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["settings"] == {
        "port": 3000,
        "administrator": "platform-administrator",
        "same_site": "Strict",
        "brute_force": True,
        "authority": str(pod / "ca.crt"),
        "sources": "/etc/grafana/provisioning/datasources",
    }
    assert document["roles"] == ["Admin", "Editor", "Viewer"]
    assert document["sources"] == {
        "metrics": ["prometheus", "reader", login("reader").password],
        "alerts": ["alertmanager", "operator", login("operator").password],
        "logs": ["grafana-opensearch-datasource", "grafana-search", login("grafana-search").password],
    }
