"""Grafana and its database die while people work: sessions go on, and what was confirmed is there (G1)."""

from __future__ import annotations

import time
from typing import Any, Final

from components.postgres.config import WORKLOAD as DATABASE
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.grafana import PORT, REPLICAS, WORKLOAD, Grafana, address
from ops.core.kube import wait_until
from ops.drills.procedure import CannotRunError
from ops.drills.tools import durations
from ops.drills.tools.accounts import unmet
from ops.drills.tools.faults import kill
from ops.drills.tools.grafana import (
    VIEW_ALL,
    Saving,
    Watch,
    as_administrator,
    credentials,
    database_pod,
    scratch_folder,
)
from ops.drills.tools.returning import Returning

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
