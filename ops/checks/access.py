"""G5: who gets into Grafana, and what each may and may not do there."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from components.grafana.permissions import FOLDERS, FolderSpec
from ops.checks.mounted_config import Settings, file_of, grafana_settings, toml
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.grafana import WORKLOAD, Grafana, address, administrator
from ops.core.platform import Login
from ops.core.rows import Finding, listed
from ops.core.test_accounts import TEST_ACCOUNTS_FILE, Credentials, known_credentials

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
            f"{host}: everybody in the directory gets a role",
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
        finding.expect(status in _REFUSED, f"{what} is answered {status}, must be refused")


def role_of(person: Grafana) -> str:
    """Role of somebody in the organisation."""
    return listed({org["role"] for org in person.get("/api/user/orgs")})


def people(ca_file: str, url: str, credentials: Credentials, finding: Finding) -> None:
    """Somebody of each role logs in and tries; somebody in no group does not get in."""
    with Grafana(ca_file, url) as outsider:
        finding.expect_equal("answer to somebody in no group", outsider.log_in(credentials.outsider.pair), 401)
    tried = 0
    for role, login in zip(ROLES, credentials.inside, strict=True):
        try:
            tried += _tries(ca_file, url, role, login, finding)
        except OpsError as error:
            finding.wrong.append(f"{role}: {error}")
    finding.figures.append(f"{tried} tries by people of {len(ROLES)} roles")


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
    finding = Finding()
    url, pod = address(context.platform), context.kube.ready_pod(WORKLOAD).name
    configured(grafana_settings(context.kube, pod), toml(file_of(context.kube, pod, "ldap.toml")), finding)
    with Grafana(context.ca_file, url) as anybody:
        finding.expect_equal("answer to nobody", anybody.status("GET", f"/api/dashboards/uid/{DASHBOARD}"), 401)
        # A name of its own: a wrong password counts against the name.
        stranger = (f"ops-verify-{secrets.token_hex(4)}", secrets.token_urlsafe(12))
        finding.expect_equal("answer to an unknown login", anybody.log_in(stranger), 401)
    with Grafana(context.ca_file, url, auth=administrator(context.platform)) as grafana:
        permissions(grafana, finding)
        nothing_leaves(grafana, finding)
    credentials = known_credentials()
    if credentials:
        people(context.ca_file, url, credentials, finding)
    else:
        finding.seen.append(f"nobody of the directory tried now: {TEST_ACCOUNTS_FILE} names no accounts")
    finding.drill(DRILL)
    return finding
