"""Grafana and its database die while people work: sessions go on, and what was confirmed is there (G1)."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, Final

from components.postgres.component import POD_INDEX
from components.postgres.config import WORKLOAD as DATABASE
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.grafana import (
    PORT,
    REPLICAS,
    TEST_ACCOUNTS_FILE,
    WORKLOAD,
    Credentials,
    Grafana,
    address,
    administrator,
    known_credentials,
)
from ops.core.kube import Kube, Pod, wait_until
from ops.drills.procedure import CannotRunError
from ops.drills.tools import durations
from ops.drills.tools.accounts import unmet
from ops.drills.tools.faults import Returning, kill

EVERY_S = 0.25
VIEW_ALL = ({"role": "Viewer", "permission": 1}, {"role": "Editor", "permission": 1})
"""Permissions of a folder that everybody may look at."""


def credentials() -> Credentials:
    """Accounts of the directory, one for each role.

    Raises:
        CannotRunError: The environment names none, or no file of this kind.
    """
    try:
        known = known_credentials()
    except OpsError as error:
        raise CannotRunError(str(error)) from error
    if known is None:
        raise CannotRunError(f"nobody can sign in: {TEST_ACCOUNTS_FILE} must name a file of the directory's accounts")
    return known


def as_administrator(context: Context) -> Grafana:
    """The account that makes the content."""
    return Grafana(context.ca_file, address(context.platform), auth=administrator(context.platform))


@contextmanager
def scratch_folder(admin: Grafana, items: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A folder with one dashboard and permissions of its own, gone when the block ends; its uid.

    Args:
        admin: Makes and removes it.
        items: Permissions, as Grafana's API has them; all there are.
    """
    uid = f"e2e-{secrets.token_hex(4)}"
    try:
        admin.send("POST", "/api/folders", {"uid": uid, "title": f"Test {uid}"})
        admin.send("POST", f"/api/folders/{uid}/permissions", {"items": list(items)})
        save(admin, uid, uid)
        yield uid
    finally:
        admin.status("DELETE", f"/api/folders/{uid}")


def dashboard(uid: str, title: str = "") -> dict[str, Any]:
    """A small dashboard in Grafana's form."""
    return {"uid": uid, "title": title or f"Test {uid}", "tags": ["e2e"], "panels": [], "schemaVersion": 41}


def save(visitor: Grafana, folder: str, uid: str, title: str = "") -> Any:
    """Save a dashboard into a folder.

    Raises:
        OpsError: Grafana refuses it.
    """
    return visitor.send("POST", "/api/dashboards/db", saving(folder, uid, title))


def saving(folder: str, uid: str, title: str = "") -> dict[str, Any]:
    """What is sent to save a dashboard."""
    return {"dashboard": dashboard(uid, title), "folderUid": folder, "overwrite": True, "message": "e2e"}


class Watch:
    """Asks something again and again until the block ends, over new connections, as browsers come and go.

    Attributes:
        times: When it was asked, seconds since 1970, and what was wrong with the answer (nothing: all is well).
    """

    def __init__(self, visitor: Grafana, path: str = "/api/user") -> None:
        self._visitor, self._path = visitor, path
        self.times: list[tuple[float, str]] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="watch")

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(60)

    @property
    def problems(self) -> list[str]:
        """What was wrong, in the order in which it was seen."""
        return [problem for _, problem in self.times if problem]

    def longest_outage(self) -> float:
        """Seconds between two good answers that had bad ones between them; the longest."""
        good = [at for at, problem in self.times if not problem]
        bad = [at for at, problem in self.times if problem]
        gaps = [later - earlier for earlier, later in pairwise(good) if any(earlier < at < later for at in bad)]
        return max(gaps, default=0.0)

    def good_after(self, moment: float) -> float | None:
        """When the first good answer after a moment was asked for; nothing where there was none."""
        return min((at for at, problem in list(self.times) if at > moment and not problem), default=None)

    def _work(self) -> None:
        while not self._stopping.is_set():
            at = time.time()
            try:
                with self._visitor.at(self._visitor.url) as fresh:
                    status = fresh.status("GET", self._path)
                problem = "" if status == 200 else f"HTTP {status}"
            except OpsError as error:
                problem = str(error)
            self.times.append((at, problem))
            self._stopping.wait(EVERY_S)


class Saving:
    """Saves one new dashboard after the other into a folder until the block ends, and remembers what was confirmed.

    Attributes:
        confirmed: Uid -> when Grafana said that it is saved.
        refused: What it said otherwise.
    """

    def __init__(self, visitor: Grafana, folder: str) -> None:
        self._visitor, self._folder = visitor, folder
        self.confirmed: dict[str, float] = {}
        self.refused: list[str] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="saving")

    def __enter__(self) -> Saving:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(60)

    def confirmed_after(self, moment: float) -> float | None:
        """When something was first confirmed after a moment; nothing where nothing was."""
        return min((at for at in list(self.confirmed.values()) if at > moment), default=None)

    def longest_gap(self) -> float:
        """Longest time between two confirmations."""
        times = sorted(self.confirmed.values())
        return max((later - earlier for earlier, later in pairwise(times)), default=0.0)

    def missing(self, admin: Grafana) -> set[str]:
        """What was confirmed and is not there."""
        return {uid for uid in self.confirmed if admin.status("GET", f"/api/dashboards/uid/{uid}") != 200}

    def _work(self) -> None:
        number = 0
        while not self._stopping.is_set():
            uid = f"{self._folder}-{number:05}"
            try:
                with self._visitor.at(self._visitor.url) as fresh:
                    save(fresh, self._folder, uid, f"Number {uid}")
                self.confirmed[uid] = time.time()
            except OpsError as error:
                self.refused.append(str(error))
            # One that was not confirmed may be there all the same, so its name is not used again.
            number += 1
            self._stopping.wait(EVERY_S)


def database_pod(kube: Kube, *, standby: bool = False) -> Pod:
    """The server that takes writes, as the database's Service names it, or the first one that follows it."""
    service = kube.core.read_namespaced_service(DATABASE, kube.namespace, _request_timeout=15)
    leader = f"{DATABASE}-{service.spec.selector[POD_INDEX]}"
    return next(pod for pod in kube.pods(DATABASE) if (pod.name == leader) is not standby)


GRAFANA_OUTAGE_S: Final = durations.seconds("GRAFANA_OUTAGE", 15)
"""Until nobody is led to a replica that was killed."""
DATABASE_OUTAGE_S: Final = durations.seconds("DATABASE_OUTAGE", 60)
"""Until a database that was killed has recovered and takes writes."""


def kill_replica(context: Context, figures: dict[str, Any]) -> list[str]:
    """Kill the replica that made a session, while it is used through the load balancer."""
    viewer = credentials().viewer
    pod = context.kube.ready_pod(WORKLOAD)
    with Grafana.sign_in(context.ca_file, context.tunnels.url(pod.name, PORT), viewer.pair) as person:
        session = person.session
    with (
        Grafana(context.ca_file, address(context.platform), session=session) as through,
        Watch(through) as watch,
    ):
        wait_until(lambda: len(watch.times) > 5, 30, "the session at the load balancer")
        if watch.problems:
            raise OpsError(f"before the kill: {watch.problems[0]}")
        figures["how"] = kill(context.kube, pod)
        killed = time.time()
        time.sleep(durations.AFTER_FAULT)
        context.kube.wait_ready(WORKLOAD, REPLICAS, durations.READY)
        back = time.time()
        figures["both ready again after s, at most"] = round(back - killed, 1)
        wait_until(lambda: watch.good_after(back) is not None, 30, "the session after the replica is back")
    context.tunnels.drop(pod.name, PORT)
    with through.at(context.tunnels.url(pod.name, PORT)) as there:
        known = there.status("GET", "/api/user")
        there.status("GET", "/logout")
    refused = [problem for problem in watch.problems if problem.startswith("HTTP 401")]
    outage = watch.longest_outage()
    figures |= {
        "asked": len(watch.times),
        "without an answer": len(watch.problems),
        "session refused": len(refused),
        "longest outage s": round(outage, 1),
        "bound s": GRAFANA_OUTAGE_S,
    }
    return unmet(
        (known == 200, f"the replica that came back does not know the session: HTTP {known}"),
        (refused == [], f"the session was refused {len(refused)} times"),
        (outage <= GRAFANA_OUTAGE_S, f"the longest outage was {outage:.1f} s, must be at most {GRAFANA_OUTAGE_S:g} s"),
    )


def kill_database(context: Context, figures: dict[str, Any]) -> list[str]:
    """Kill the database's primary while dashboards are saved."""
    kube, viewer = context.kube, credentials().viewer
    members = len(kube.pods(DATABASE))
    with (
        as_administrator(context) as admin,
        scratch_folder(admin, VIEW_ALL) as folder,
        Grafana.sign_in(context.ca_file, address(context.platform), viewer.pair) as person,
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
        session = person.status("GET", "/api/user")
        person.status("GET", "/logout")
    return unmet(
        (missing == set(), f"{len(missing)} of {len(saved.confirmed)} confirmed changes are missing"),
        (session == 200, f"the session is lost: HTTP {session}"),
        (
            max(answers, writes) <= DATABASE_OUTAGE_S,
            f"answers again after {answers} s and saves after {writes} s, must be within {DATABASE_OUTAGE_S:g} s",
        ),
    )


def kill_standby(context: Context, figures: dict[str, Any]) -> list[str]:
    """Kill the database's standby while dashboards are saved."""
    kube, thanos = context.kube, context.thanos
    members = len(kube.pods(DATABASE))
    if members < 2:
        raise CannotRunError("the database has no standby")
    with as_administrator(context) as admin, scratch_folder(admin, VIEW_ALL) as folder:
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
        missing = saved.missing(admin)
        figures |= {
            "follows again": True,
            "longest time between two saves s": round(saved.longest_gap(), 1),
            "refused": len(saved.refused),
            "missing": len(missing),
        }
    return unmet(
        (saved.refused == [], f"{len(saved.refused)} changes were refused: {saved.refused[:3]}"),
        (not missing, f"{len(missing)} of {len(saved.confirmed)} confirmed changes are missing"),
    )
