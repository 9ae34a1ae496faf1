"""Grafana on the live platform: who gets in and may do what, one content at every replica, and what a failure costs."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator

import pytest

from components.postgres.config import WORKLOAD as DATABASE
from ops.checks import access
from ops.core.context import Context
from ops.core.grafana import PORT, REPLICAS, WORKLOAD, Credentials, Grafana, address, administrator
from ops.core.kube import wait_until
from ops.core.rows import Finding
from ops.drills.tools import durations
from ops.drills.tools.faults import kill, scaled
from ops.drills.tools.returning import Returning
from tests.support.grafana import (
    Saving,
    Watch,
    as_administrator,
    database_pod,
    directory_credentials,
    log_lines,
    save,
    saving,
    scratch_folder,
    started,
    visible_uids,
)
from tests.support.results import recorded

GRAFANA_OUTAGE_S = durations.seconds("GRAFANA_OUTAGE", 15)
"""Until nobody is led to a replica that was killed."""
DATABASE_OUTAGE_S = durations.seconds("DATABASE_OUTAGE", 60)
"""Until a database that was killed has recovered and takes writes."""
VIEW_ALL = ({"role": "Viewer", "permission": 1}, {"role": "Editor", "permission": 1})
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


@pytest.mark.timeout(420)
def test_a_session_survives_the_death_of_the_replica_that_made_it(settled: Context, credentials: Credentials) -> None:
    pod = settled.kube.ready_pod(WORKLOAD)
    with recorded("grafana-replica-killed", settled.kube) as figures:
        with Grafana.sign_in(settled.ca_file, settled.tunnels.url(pod.name, PORT), credentials.viewer.pair) as person:
            session = person.session
        with (
            Grafana(settled.ca_file, address(settled.platform), session=session) as through,
            Watch(through) as watch,
        ):
            wait_until(lambda: len(watch.times) > 5, 30, "the session at the load balancer")
            assert watch.problems == []
            figures["how"] = kill(settled.kube, pod)
            killed = time.time()
            time.sleep(durations.AFTER_FAULT)
            settled.kube.wait_ready(WORKLOAD, REPLICAS, durations.READY)
            back = time.time()
            figures["both ready again after s, at most"] = round(back - killed, 1)
            wait_until(lambda: watch.good_after(back) is not None, 30, "the session after the replica is back")
        settled.tunnels.drop(pod.name, PORT)
        with through.at(settled.tunnels.url(pod.name, PORT)) as there:
            assert there.status("GET", "/api/user") == 200, "the replica that came back does not know the session"
            there.status("GET", "/logout")
        refused = [problem for problem in watch.problems if problem.startswith("HTTP 401")]
        figures |= {
            "asked": len(watch.times),
            "without an answer": len(watch.problems),
            "session refused": len(refused),
            "longest outage s": round(watch.longest_outage(), 1),
            "bound s": GRAFANA_OUTAGE_S,
        }
        assert refused == []
        assert watch.longest_outage() <= GRAFANA_OUTAGE_S


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


@pytest.mark.timeout(600)
def test_the_database_is_killed_and_nothing_that_was_confirmed_is_lost(
    settled: Context, admin: Grafana, credentials: Credentials
) -> None:
    kube = settled.kube
    members = len(kube.pods(DATABASE))
    with (
        recorded("grafana-database-killed", kube) as figures,
        scratch_folder(admin, VIEW_ALL) as folder,
        Grafana.sign_in(settled.ca_file, address(settled.platform), credentials.viewer.pair) as person,
    ):
        with Saving(admin, folder) as saved, Watch(person) as watch:
            wait_until(lambda: len(saved.confirmed) > 5, 60, "dashboards to be saved")
            figures["how"] = kill(kube, database_pod(kube))
            killed = time.time()
            # What was under way when it died may still be answered.
            later = killed + 1
            wait_until(
                lambda: None not in (watch.good_after(later), saved.confirmed_after(later)),
                durations.READY,
                "Grafana to answer and to save again",
                0.5,
            )
            kube.wait_ready(DATABASE, members, durations.READY)
            time.sleep(durations.WARM_UP)
        missing = saved.missing(admin)
        answers, writes = (
            round((at or 0) - killed, 1) for at in (watch.good_after(later), saved.confirmed_after(later))
        )
        figures |= {
            "answers again after s": answers,
            "saves again after s": writes,
            "bound s": DATABASE_OUTAGE_S,
            "confirmed": len(saved.confirmed),
            "missing": len(missing),
            "refused meanwhile": len(saved.refused),
        }
        assert missing == set()
        assert person.status("GET", "/api/user") == 200, "the session is lost"
        assert max(answers, writes) <= DATABASE_OUTAGE_S
        person.status("GET", "/logout")


@pytest.mark.timeout(600)
def test_a_dead_standby_stops_nobody_and_follows_again(settled: Context, admin: Grafana) -> None:
    kube, thanos = settled.kube, settled.thanos
    members = len(kube.pods(DATABASE))
    assert members > 1, "the database has no standby"
    with recorded("grafana-standby-killed", kube) as figures, scratch_folder(admin, VIEW_ALL) as folder:
        with Saving(admin, folder) as saved:
            wait_until(lambda: len(saved.confirmed) > 5, 60, "dashboards to be saved")
            victim = database_pod(kube, standby=True)
            returning, killed = Returning(kube, victim, durations.READY), time.time()
            figures["how"] = kill(kube, victim)
            time.sleep(durations.AFTER_FAULT)
        figures["standby back after s"] = returning.after()
        # Only what was scraped since it is back counts: before, the metric may be that of before the kill.
        back = killed + figures["standby back after s"]
        streaming = f"max(pg_standbys_streaming and timestamp(pg_standbys_streaming) > {back:.0f})"
        wait_until(lambda: thanos.number(streaming) == members - 1, durations.READY, "the standby to follow")
        figures |= {
            "follows again": True,
            "longest time between two saves s": round(saved.longest_gap(), 1),
            "refused": len(saved.refused),
            "missing": len(saved.missing(admin)),
        }
        assert saved.refused == []
        assert figures["missing"] == 0


def test_the_administrator_is_no_name_of_the_directory(context: Context, credentials: Credentials) -> None:
    names = {login.username for login in (*credentials.inside, credentials.outsider)}
    assert administrator(context.platform)[0] not in names
