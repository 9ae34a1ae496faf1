"""Grafana on the live platform: who gets in and may do what, one content at every replica, and what a failure costs."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator

import pytest

from ops.checks import access
from ops.core.context import Context
from ops.core.grafana import PORT, REPLICAS, WORKLOAD, Credentials, Grafana, address, administrator
from ops.core.kube import wait_until
from ops.core.rows import Finding
from ops.drills.procedures.grafana import VIEW_ALL, as_administrator, save, saving, scratch_folder
from ops.drills.tools import durations
from ops.drills.tools.faults import scaled
from tests.support.drills import limit, problems
from tests.support.grafana import directory_credentials, log_lines, started, visible_uids
from tests.support.results import recorded

EDIT_ONLY = ({"role": "Editor", "permission": 2},)
GUESSES = 5
"""Wrong passwords for one name in five minutes, until Grafana answers no more."""


@pytest.fixture(scope="module")
def credentials() -> Credentials:
    """People of the directory."""
    return directory_credentials()


@pytest.fixture
def admin(context: Context) -> Iterator[Grafana]:
    """The account that makes the content."""
    with as_administrator(context) as visitor:
        yield visitor


@pytest.mark.timeout(240)
def test_each_role_may_what_it_may_and_no_more(context: Context, admin: Grafana, credentials: Credentials) -> None:
    url = address(context.platform)
    with recorded("grafana-roles", context.kube) as figures:
        finding = Finding()
        access.people(context.ca_file, url, credentials, finding)
        figures["tries"] = "; ".join(finding.figures)
        assert finding.wrong == []
        with scratch_folder(admin, VIEW_ALL) as shown, scratch_folder(admin, EDIT_ONLY) as hidden:
            # Folder -> role -> seen, changed.
            promised = {
                shown: {"viewer": (200, 403), "editor": (200, 403), "admin": (200, 200)},
                hidden: {"viewer": (403, 403), "editor": (200, 200), "admin": (200, 200)},
            }
            for role in ("viewer", "editor", "admin"):
                with Grafana.sign_in(context.ca_file, url, getattr(credentials, role).pair) as person:
                    for folder, wanted in promised.items():
                        seen = person.status("GET", f"/api/dashboards/uid/{folder}")
                        changed = person.status("POST", "/api/dashboards/db", saving(folder, folder))
                        assert (seen, changed) == wanted[role], f"{role} in {folder}"
                        assert (folder in visible_uids(person)) is (seen == 200), f"{role} finds {folder} or not"
                        given = person.status("POST", f"/api/folders/{folder}/permissions", {"items": []})
                        assert given == (200 if role == "admin" else 403), f"{role} gives permissions in {folder}"
                        if role == "admin":
                            admin.send("POST", f"/api/folders/{folder}/permissions", {"items": list(VIEW_ALL)})
                    person.status("GET", "/logout")
                    assert person.status("GET", "/api/user") == 401, f"{role} is in after the logout"
        figures["folders with permissions of their own"] = len(promised)


def test_nobody_gets_in_without_a_group_or_with_a_wrong_password(context: Context, credentials: Credentials) -> None:
    url = address(context.platform)
    with Grafana(context.ca_file, url) as anybody:
        assert anybody.log_in(credentials.outsider.pair) == 401
        assert anybody.log_in((credentials.viewer.username, secrets.token_urlsafe(12))) == 401
        for path in ("/api/search", "/api/user", "/api/dashboards/uid/obs-overview", "/api/org", "/metrics"):
            assert anybody.status("GET", path) == 401, path
    with Grafana(context.ca_file, url, auth=credentials.outsider.pair) as outsider:
        assert outsider.status("GET", "/api/user") == 401
    with Grafana(context.ca_file, url, session=secrets.token_hex(16)) as forger:
        assert forger.status("GET", "/api/user") == 401


def test_who_guesses_a_password_is_shut_out_for_a_while(context: Context) -> None:
    name = f"e2e-guess-{secrets.token_hex(4)}"
    with Grafana(context.ca_file, address(context.platform)) as guesser:
        for _ in range(GUESSES):
            assert guesser.log_in((name, secrets.token_urlsafe(8))) == 401
        body = {"user": name, "password": secrets.token_urlsafe(8)}
        with guesser.call("POST", "/login", body=body) as response:
            assert response.status_code == 401
            assert response.json()["messageId"] == "login-attempt.blocked"


def test_nothing_is_published(context: Context, admin: Grafana, credentials: Credentials) -> None:
    finding = Finding()
    access.nothing_leaves(admin, finding)
    with Grafana.sign_in(context.ca_file, address(context.platform), credentials.editor.pair) as editor:
        access.nothing_leaves(editor, finding)
    assert finding.wrong == []


def test_logins_and_refusals_are_in_the_log_and_no_password_is(context: Context, credentials: Credentials) -> None:
    began, wrong = time.time(), secrets.token_urlsafe(12)
    stranger = f"e2e-log-{secrets.token_hex(4)}"
    with Grafana(context.ca_file, address(context.platform)) as visitor:
        assert visitor.log_in((stranger, wrong)) == 401
        assert visitor.log_in(credentials.viewer.pair) == 200
        visitor.status("GET", "/logout")

    def statuses(name: str) -> set[int]:
        lines = log_lines(context.kube, int(time.time() - began) + 5)
        return {int(line.get("status") or 0) for line in lines if line.get("uname") == name}

    wait_until(lambda: 401 in statuses(stranger), 20, "the refused login in the log")
    wait_until(lambda: 200 in statuses(credentials.viewer.username), 20, "the login in the log")
    text = str(log_lines(context.kube, int(time.time() - began) + 5))
    assert wrong not in text
    assert credentials.viewer.pair[1] not in text


def test_what_is_changed_at_one_replica_is_there_at_the_other(context: Context, admin: Grafana) -> None:
    pods = [pod.name for pod in context.kube.pods(WORKLOAD)]
    assert len(pods) == REPLICAS
    with scratch_folder(admin, VIEW_ALL) as folder:
        for number, pod in enumerate(pods):
            with admin.at(context.tunnels.url(pod, PORT)) as here:
                save(here, folder, folder, f"Change {number}")
            for other in pods:
                with admin.at(context.tunnels.url(other, PORT)) as there:
                    assert there.get(f"/api/dashboards/uid/{folder}")["dashboard"]["title"] == f"Change {number}"


@limit("grafana")
def test_a_session_survives_the_death_of_the_replica_that_made_it(settled: Context) -> None:
    assert problems("grafana", settled) == []


@pytest.mark.timeout(420)
def test_replicas_start_one_after_the_other_so_that_one_of_them_migrates(settled: Context) -> None:
    kube = settled.kube
    policy = kube.apps.read_namespaced_stateful_set(WORKLOAD, kube.namespace, _request_timeout=15)
    assert policy.spec.pod_management_policy == "OrderedReady"
    with recorded("grafana-start-order", kube) as figures:
        with scaled(kube, WORKLOAD, 0, REPLICAS):
            wait_until(lambda: not kube.pods(WORKLOAD), 120, "no replica")
        figures["all ready after s"] = round(kube.wait_ready(WORKLOAD, REPLICAS, durations.READY), 1)
        times = started(kube)
        (_, first_ready), (second_made, _) = (times[f"{WORKLOAD}-{number}"] for number in range(REPLICAS))
        figures["second began after the first was ready, s"] = round(second_made - first_ready)
        assert second_made >= first_ready


@limit("grafana-database")
def test_the_database_is_killed_and_nothing_that_was_confirmed_is_lost(settled: Context) -> None:
    assert problems("grafana-database", settled) == []


@limit("grafana-standby")
def test_a_dead_standby_stops_nobody_and_follows_again(settled: Context) -> None:
    assert problems("grafana-standby", settled) == []


def test_the_administrator_is_no_name_of_the_directory(context: Context, credentials: Credentials) -> None:
    names = {login.username for login in (*credentials.inside, credentials.outsider)}
    assert administrator(context.platform)[0] not in names
