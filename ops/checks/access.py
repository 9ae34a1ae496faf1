"""G5: who gets into Grafana, and what each may and may not do there.

Its configuration is as a pod really has it: files of the ConfigMaps and Secrets that it mounts, variables above them.
"""

from __future__ import annotations

import configparser
import secrets
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from kubernetes.client.exceptions import ApiException

from components.grafana.content import FOLDERS, FolderSpec
from ops.core.context import Context
from ops.core.errors import OpsError, one_line
from ops.core.grafana import (
    TEST_ACCOUNTS_FILE,
    WORKLOAD,
    Credentials,
    Grafana,
    address,
    administrator,
    known_credentials,
)
from ops.core.kube import Kube
from ops.core.platform import Login
from ops.core.rows import Finding, listed, not_set_up

_TIMEOUT_SECONDS = 15
_TOP = "before the first section"
DEFAULTS: Mapping[tuple[str, str], str] = {
    ("database", "type"): "sqlite3",
    ("database", "ssl_mode"): "disable",
    ("unified_alerting", "enabled"): "true",
    ("auth.ldap", "enabled"): "false",
    ("auth.anonymous", "enabled"): "false",
    ("users", "allow_sign_up"): "false",
    ("snapshots", "enabled"): "true",
    ("public_dashboards", "enabled"): "true",
}
"""What Grafana takes where nothing is set, of the settings that checks look at."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Grafana's settings.

    Attributes:
        sections: Section -> key -> value of ``grafana.ini``.
        variables: Environment of the container: ``GF_<SECTION>_<KEY>`` goes before the file.
    """

    sections: Mapping[str, Mapping[str, str]]
    variables: Mapping[str, str] = field(default_factory=dict)

    def of(self, section: str, key: str) -> str:
        """A setting that counts; empty where nothing is set and no default is known."""
        name = f"GF_{section}_{key}".upper().replace(".", "_").replace("-", "_")
        given = self.variables.get(name) or self.sections.get(section, {}).get(key, "")
        return given or DEFAULTS.get((section, key), "")


def grafana_settings(kube: Kube, pod: str) -> Settings:
    """What a replica of Grafana runs with.

    Raises:
        OpsError: It mounts no ``grafana.ini``, or the file is none.
    """
    return Settings(sections=ini(file_of(kube, pod, "grafana.ini")), variables=variables_of(kube, pod))


def variables_of(kube: Kube, pod: str) -> dict[str, str]:
    """Variables of a pod's containers whose values stand in the pod itself."""
    with _errors(pod):
        manifest = kube.core.read_namespaced_pod(pod, kube.namespace, _request_timeout=_TIMEOUT_SECONDS)
    return {
        variable.name: variable.value
        for container in manifest.spec.containers
        for variable in container.env or []
        if variable.value
    }


def file_of(kube: Kube, pod: str, name: str) -> str:
    """Text of a file that a pod mounts.

    Args:
        kube: The namespace.
        pod: Name of the pod.
        name: Name of the file, without its folder.

    Raises:
        OpsError: The pod mounts no such file, or it cannot be read.
    """
    with _errors(pod):
        manifest = kube.core.read_namespaced_pod(pod, kube.namespace, _request_timeout=_TIMEOUT_SECONDS)
        for kind, source in _sources(manifest.spec.volumes or []):
            text = _config_map(kube, source, name) if kind == "ConfigMap" else _secret(kube, source, name)
            if text is not None:
                return text
    raise OpsError(f"{pod} mounts no ConfigMap or Secret with a file {name}")


def _sources(volumes: list[Any]) -> Iterator[tuple[str, str]]:
    for volume in volumes:
        if volume.config_map:
            yield "ConfigMap", volume.config_map.name
        if volume.secret:
            yield "Secret", volume.secret.secret_name
        for source in (volume.projected.sources or []) if volume.projected else []:
            if source.config_map:
                yield "ConfigMap", source.config_map.name
            if source.secret:
                yield "Secret", source.secret.name


def _config_map(kube: Kube, source: str, name: str) -> str | None:
    config_map = kube.core.read_namespaced_config_map(source, kube.namespace, _request_timeout=_TIMEOUT_SECONDS)
    return (config_map.data or {}).get(name)


def _secret(kube: Kube, source: str, name: str) -> str | None:
    content = (kube.secret(source) or {}).get(name)
    return None if content is None else content.decode()


@contextmanager
def _errors(pod: str) -> Iterator[None]:
    try:
        yield
    except ApiException as error:
        raise OpsError(
            f"cannot read the configuration of {pod}: HTTP {error.status} {one_line(error.reason)}"
        ) from None


def ini(text: str) -> dict[str, dict[str, str]]:
    """Read Grafana's own format, in which keys may stand before the first section.

    Raises:
        OpsError: It is none.
    """
    parser = configparser.RawConfigParser(strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(f"[{_TOP}]\n{text}")
    except configparser.Error as error:
        raise OpsError(f"grafana.ini cannot be read: {one_line(error)}") from None
    return {section: dict(parser.items(section)) for section in parser.sections()}


def toml(text: str) -> Mapping[str, Any]:
    """Read TOML.

    Raises:
        OpsError: It is none.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise OpsError(f"ldap.toml cannot be read: {one_line(error)}") from None


DRILL = "grafana-roles"
DASHBOARD = "obs-overview"
VIEW, EDIT, ADMIN = 1, 2, 4
ROLES = ("Viewer", "Editor", "Admin")
RUNS_WITH = (
    ("auth.ldap", "enabled", "true"),
    ("auth.anonymous", "enabled", "false"),
    ("users", "allow_sign_up", "false"),
    ("snapshots", "enabled", "false"),
    ("public_dashboards", "enabled", "false"),
)
"""Section, key and value: the directory lets people in and nobody else does; nothing is shown without a login."""

_REFUSED = (401, 403, 404)


def seen_by(spec: FolderSpec) -> dict[str, int]:
    """Role -> answer to who asks for a dashboard of a folder."""
    named = {grant.org_role for grant in spec.grants} | {"Admin"}
    return {role: 200 if role in named else 403 for role in ROLES}


_ADMIN_ONLY = {"Viewer": 403, "Editor": 403, "Admin": 200}
MAY: Mapping[str, Mapping[str, int]] = {
    "GET /api/datasources": _ADMIN_ONLY,
    "GET /api/org/users": _ADMIN_ONLY,
    f"GET /api/dashboards/uid/{DASHBOARD}/permissions": _ADMIN_ONLY,
    # The server's people, not the organization's.
    "GET /api/users": {"Viewer": 403, "Editor": 403, "Admin": 403},
    **{f"GET /api/dashboards/uid/{spec.dashboards[0]}": seen_by(spec) for spec in FOLDERS if spec.dashboards},
}
"""Question -> role -> answer; a dashboard of each folder is shown to whom the folder is shown."""


def configured(settings: Settings, directory: Mapping[str, Any], finding: Finding) -> None:
    """Compare the configuration of a running replica with what the requirement wants."""
    for section, key, wanted in RUNS_WITH:
        finding.expect_equal(f"[{section}] {key}", settings.of(section, key), wanted)
    servers = directory.get("servers") or []
    finding.expect(bool(servers), "ldap.toml names no server")
    for server in servers:
        host = server.get("host")
        finding.expect(bool(server.get("use_ssl")), f"{host}: LDAP without TLS")
        finding.expect(not server.get("ssl_skip_verify"), f"{host}: the directory's certificate is not verified")
        mapped = server.get("group_mappings") or []
        finding.expect_equal(f"{host}: roles", listed({mapping.get("org_role") for mapping in mapped}), listed(ROLES))
        finding.expect(
            not any(mapping.get("group_dn") == "*" for mapping in mapped),
            f"{host}: every user of the directory gets a role",
        )
        finding.seen.append(f"directory {host}: {len(mapped)} groups to roles")


def permissions(grafana: Grafana, finding: Finding) -> None:
    """No folder may be changed by viewers, and nobody but administrators gives permissions away by his role."""
    folders = grafana.get("/api/folders", {"limit": "1000"})
    finding.expect(bool(folders), "Grafana has no folder")
    for folder in folders:
        for item in grafana.get(f"/api/folders/{folder['uid']}/permissions"):
            role, level = item.get("role") or "", int(item.get("permission") or 0)
            finding.expect(not (role == "Viewer" and level > VIEW), f"viewers may change folder {folder['title']}")
            finding.expect(
                not (role == "Editor" and level >= ADMIN), f"editors may give permissions in folder {folder['title']}"
            )
    finding.figures.append(f"{len(folders)} folders")


def nothing_leaves(grafana: Grafana, finding: Finding) -> None:
    """Not even an administrator makes a snapshot or a dashboard that everybody can see."""
    tries = {
        "a snapshot": ("/api/snapshots", {"dashboard": {"title": "ops-verify"}, "expires": 60}),
        "a public dashboard": (f"/api/dashboards/uid/{DASHBOARD}/public-dashboards", {"isEnabled": True}),
    }
    for what, (path, body) in tries.items():
        status = grafana.status("POST", path, body)
        finding.expect(status in _REFUSED, f"{what}: answered {status}, must be refused")


def role_of(person: Grafana) -> str:
    """Role of somebody in the organisation."""
    return listed({org["role"] for org in person.get("/api/user/orgs")})


def people(ca_file: str, url: str, credentials: Credentials, finding: Finding) -> None:
    """Somebody of each role logs in and tries; somebody in no group does not get in."""
    with Grafana(ca_file, url) as outsider:
        finding.expect_equal("response to a user in no group", outsider.log_in(credentials.outsider.pair), 401)
    tried = 0
    for role, login in zip(ROLES, credentials.inside, strict=True):
        try:
            tried += _tries(ca_file, url, role, login, finding)
        except OpsError as error:
            finding.wrong.append(f"{role}: {error}")
    finding.figures.append(f"{tried} requests tried with {len(ROLES)} roles")


def _tries(ca_file: str, url: str, role: str, login: Login, finding: Finding) -> int:
    with Grafana.sign_in(ca_file, url, login.pair) as person:
        finding.expect_equal(f"role of {login.username}", role_of(person), role)
        for question, wanted in MAY.items():
            method, path = question.split(" ", 1)
            finding.expect_equal(f"{role}: {question}", person.status(method, path), wanted[role])
        saves = bool(person.get(f"/api/dashboards/uid/{DASHBOARD}")["meta"]["canSave"])
        finding.expect(not (role == "Viewer" and saves), "a viewer may change a dashboard")
        finding.expect(role != "Admin" or saves, "an administrator may not change a dashboard")
        person.status("GET", "/logout")
    return len(MAY) + 1


def g5(context: Context) -> Finding:
    """The directory decides who gets in and as what; nobody else does, and nothing leaves without a login."""
    if lines := context.platform.left_out("grafana.ldap"):
        return not_set_up(lines)
    finding = Finding()
    url, pod = address(context.platform), context.kube.ready_pod(WORKLOAD).name
    configured(grafana_settings(context.kube, pod), toml(file_of(context.kube, pod, "ldap.toml")), finding)
    with Grafana(context.ca_file, url) as anybody:
        finding.expect_equal("response without a login", anybody.status("GET", f"/api/dashboards/uid/{DASHBOARD}"), 401)
        # A name of its own: a wrong password counts against the name.
        stranger = (f"ops-verify-{secrets.token_hex(4)}", secrets.token_urlsafe(12))
        finding.expect_equal("response to an unknown login", anybody.log_in(stranger), 401)
    with Grafana(context.ca_file, url, auth=administrator(context.platform)) as grafana:
        permissions(grafana, finding)
        nothing_leaves(grafana, finding)
    credentials = known_credentials()
    if credentials:
        people(context.ca_file, url, credentials, finding)
    else:
        finding.seen.append(f"no directory account tried: {TEST_ACCOUNTS_FILE} lists none")
    finding.drill(DRILL)
    return finding
