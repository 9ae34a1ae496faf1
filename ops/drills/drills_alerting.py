"""Drills of notification and visualization: Alertmanager, probes, Grafana."""

from __future__ import annotations

from collections.abc import Mapping

from ops.drills.model import Aspect, Drill

_PROCEDURES = "ops.drills.procedures"
_LATENCY: Mapping[Aspect, tuple[str, ...]] = {
    Aspect.FAULT: ("{situation}",),
    Aspect.RPO: ("{critical lost} of {critical runs} Critical and {high lost} of {high runs} High lost",),
    Aspect.ALERTS: ("{critical runs} Critical and {high runs} High raised",),
    Aspect.NOTIFICATIONS: (
        "{duplicates} of {notices} twice",
        "Critical after s (median, p95, worst) {critical s median, p95, worst}",
        "High {high s median, p95, worst}",
    ),
}
"""What every run of the latency of notifications tells, whatever is taken away."""

ALERTING: tuple[Drill, ...] = (
    Drill(
        name="alertmanager",
        shows="one of two Alertmanagers gone: every notification is told in time, none twice",
        requirements=("A1", "S2"),
        procedure=f"{_PROCEDURES}.notification_latency:notify_with_one_member",
        evidence="alert-latency-one-killed",
        seconds=270,
        limit_s=1020,
        load="20 Critical and 20 High conditions",
        fault="one of two members stopped",
        figures=_LATENCY,
    ),
    Drill(
        name="alertmanager-split",
        shows="the Alertmanagers cut off from each other: every notification is told in time, some twice",
        requirements=("A1", "S2"),
        procedure=f"{_PROCEDURES}.notification_latency:notify_while_split",
        evidence="alert-latency-partitioned",
        seconds=330,
        limit_s=1020,
        load="20 Critical and 20 High conditions",
        fault="packets between the members dropped",
        figures=_LATENCY,
    ),
    Drill(
        name="switch",
        shows="nobody can be notified: the dead man's switch outside tells that the monitoring is down",
        requirements=("D4",),
        procedure=f"{_PROCEDURES}.alerts:stop_alertmanagers",
        evidence="dead-mans-switch",
        seconds=240,
        limit_s=900,
        load="none",
        fault="both Alertmanagers stopped",
        figures={
            Aspect.DETECTION: ("told after {told after s} s",),
            Aspect.NOTIFICATIONS: ("{said}",),
        },
    ),
    Drill(
        name="alert-events",
        shows="the service that writes alerts to Kafka killed: every event is there in the end",
        requirements=("A3",),
        procedure=f"{_PROCEDURES}.alerts:kill_alert_events",
        evidence="alert-events-killed",
        seconds=60,
        limit_s=480,
        load="6 Critical conditions",
        fault="SIGKILL to the service",
        figures={
            Aspect.RECOVERY: (
                "back after {back after s} s",
                "all that were raised in Kafka after {all raised ones in alerts-raw after s} s",
            ),
            Aspect.ALERTS: ("{alerts} raised",),
            Aspect.NOTIFICATIONS: ("all that were told in Kafka after {all told ones in alerts-processed after s} s",),
        },
    ),
    Drill(
        name="probes",
        shows="a prober that hangs is told of, and works again after a kill",
        requirements=("O5", "A2"),
        procedure=f"{_PROCEDURES}.alerts:freeze_prober",
        evidence="probes-killed",
        seconds=110,
        limit_s=480,
        load="none",
        fault="the prober frozen, then killed",
        figures={
            Aspect.DETECTION: ("alert after {fires after s} s",),
            Aspect.RECOVERY: ("back {back after s} s after the kill, alert over after {over after s} s",),
        },
    ),
    Drill(
        name="failover-agent",
        shows="the failover agent that follows the lease killed: on-call is notified as fast as ever, and once",
        requirements=("A2", "D2"),
        procedure=f"{_PROCEDURES}.alerts:kill_failover_agent",
        evidence="failover-agent-killed",
        seconds=60,
        limit_s=480,
        load="a Critical condition",
        fault="SIGKILL to the failover agent",
        figures={
            Aspect.RECOVERY: ("back after {back after s} s",),
            Aspect.NOTIFICATIONS: ("Critical told after {told after s} s, {notices twice} notifications twice",),
        },
    ),
    Drill(
        name="grafana",
        shows="a Grafana killed while somebody works: the session goes on at the other",
        requirements=("G1",),
        procedure=f"{_PROCEDURES}.grafana:kill_replica",
        evidence="grafana-replica-killed",
        seconds=40,
        limit_s=480,
        load="a session that opens a page again and again",
        fault="SIGKILL to one of two replicas",
        figures={
            Aspect.RECOVERY: ("both ready again after {both ready again after s, at most} s at most",),
            Aspect.RTO: ("longest outage {longest outage s} s (bound {bound s})",),
            Aspect.RPO: ("{session refused} times the session was refused",),
            Aspect.DASHBOARDS: ("{without an answer} of {asked} requests without an answer",),
        },
    ),
    Drill(
        name="grafana-database",
        shows="Grafana's database killed: it answers again, and every confirmed change is there",
        requirements=("G1",),
        procedure=f"{_PROCEDURES}.grafana:kill_database",
        evidence="grafana-database-killed",
        seconds=60,
        limit_s=660,
        load="changes that Grafana confirms",
        fault="SIGKILL to PostgreSQL's primary",
        figures={
            Aspect.RECOVERY: ("saves again after {saves again after s} s",),
            Aspect.RTO: ("answers again after {answers again after s} s (bound {bound s})",),
            Aspect.RPO: ("{missing} of {confirmed} confirmed changes missing, {refused meanwhile} refused meanwhile",),
        },
    ),
    Drill(
        name="grafana-standby",
        shows="the database's standby killed: nobody is stopped, and it follows again",
        requirements=("G1",),
        procedure=f"{_PROCEDURES}.grafana:kill_standby",
        evidence="grafana-standby-killed",
        seconds=60,
        limit_s=660,
        load="changes that Grafana confirms",
        fault="SIGKILL to PostgreSQL's standby",
        figures={
            Aspect.RECOVERY: ("standby back after {standby back after s} s",),
            Aspect.RTO: ("longest time between two saves {longest time between two saves s} s",),
            Aspect.RPO: ("{missing} confirmed changes missing, {refused} refused",),
        },
    ),
)
