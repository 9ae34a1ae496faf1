"""Drills of notification and visualization: Alertmanager, probes, Grafana."""

from __future__ import annotations

from collections.abc import Mapping

from ops.drills.procedure import Aspect, Drill

_PROCEDURES = "ops.drills.procedures"
_LATENCY: Mapping[Aspect, tuple[str, ...]] = {
    Aspect.FAULT: ("{situation}",),
    Aspect.RPO: ("{critical lost} of {critical runs} Critical and {high lost} of {high runs} High lost",),
    Aspect.ALERTS: ("{critical runs} Critical and {high runs} High raised",),
    Aspect.NOTIFICATIONS: (
        "{duplicates} of {notices} notifications twice",
        "Critical (median, P95, worst) {critical s median, p95, worst} s",
        "High {high s median, p95, worst} s",
    ),
}
"""What every run of the latency of notifications tells, whatever is taken away."""

ALERTING: tuple[Drill, ...] = (
    Drill(
        name="alertmanager",
        shows="one of two Alertmanagers down: every notification arrives in time, none twice",
        requirements=("A1", "S2"),
        procedure=f"{_PROCEDURES}.alerts:notify_with_one_member",
        evidence="alert-latency-one-killed",
        seconds=270,
        limit_s=1020,
        load="20 Critical and 20 High conditions",
        fault="one of two members stopped",
        figures=_LATENCY,
    ),
    Drill(
        name="alertmanager-split",
        shows="the Alertmanagers partitioned: every notification arrives in time, some twice",
        requirements=("A1", "S2"),
        procedure=f"{_PROCEDURES}.alerts:notify_while_split",
        evidence="alert-latency-partitioned",
        seconds=330,
        limit_s=1020,
        load="20 Critical and 20 High conditions",
        fault="packets between the members dropped",
        figures=_LATENCY,
    ),
    Drill(
        name="switch",
        shows="both Alertmanagers down: the external dead man's switch reports that the monitoring is down",
        requirements=("D4",),
        procedure=f"{_PROCEDURES}.alerts:stop_alertmanagers",
        evidence="dead-mans-switch",
        seconds=240,
        limit_s=900,
        load="none",
        fault="both Alertmanagers stopped",
        figures={
            Aspect.DETECTION: ("notified after {told after s} s",),
            Aspect.NOTIFICATIONS: ("{said}",),
        },
    ),
    Drill(
        name="alert-events",
        shows="the service that writes alerts to Kafka killed: no event is lost",
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
                "all raised alerts in Kafka after {all raised ones in alerts-raw after s} s",
            ),
            Aspect.ALERTS: ("{alerts} raised",),
            Aspect.NOTIFICATIONS: ("all notifications in Kafka after {all told ones in alerts-processed after s} s",),
        },
    ),
    Drill(
        name="probes",
        shows="a prober that hangs raises an alert, and recovers after a kill",
        requirements=("O5", "A2"),
        procedure=f"{_PROCEDURES}.alerts:freeze_prober",
        evidence="probes-killed",
        seconds=110,
        limit_s=480,
        load="none",
        fault="the prober frozen, then killed",
        figures={
            Aspect.DETECTION: ("alert after {fires after s} s",),
            Aspect.RECOVERY: ("back {back after s} s after the kill, alert resolved after {over after s} s",),
        },
    ),
    Drill(
        name="failover-agent",
        shows="the failover agent killed: on-call is notified once, and without delay",
        requirements=("A2", "D2"),
        procedure=f"{_PROCEDURES}.alerts:kill_failover_agent",
        evidence="failover-agent-killed",
        seconds=60,
        limit_s=480,
        load="a Critical condition",
        fault="SIGKILL to the failover agent",
        figures={
            Aspect.RECOVERY: ("back after {back after s} s",),
            Aspect.NOTIFICATIONS: ("Critical notified after {told after s} s, {notices twice} notifications twice",),
        },
    ),
    Drill(
        name="grafana",
        shows="a Grafana replica killed during a session: the session continues on the other replica",
        requirements=("G1",),
        procedure=f"{_PROCEDURES}.grafana:kill_replica",
        evidence="grafana-replica-killed",
        seconds=40,
        limit_s=480,
        load="a session that opens a page repeatedly",
        fault="SIGKILL to one of two replicas",
        figures={
            Aspect.RECOVERY: ("both ready again after {both ready again after s, at most} s at most",),
            Aspect.RTO: ("longest outage {longest outage s} s (bound {bound s})",),
            Aspect.RPO: ("session refused {session refused} times",),
            Aspect.DASHBOARDS: ("{without an answer} of {asked} requests without an answer",),
        },
    ),
    Drill(
        name="grafana-database",
        shows="Grafana's database killed: it recovers, and no confirmed change is lost",
        requirements=("G1",),
        procedure=f"{_PROCEDURES}.grafana:kill_database",
        evidence="grafana-database-killed",
        seconds=60,
        limit_s=660,
        load="changes that Grafana confirms",
        fault="SIGKILL to PostgreSQL's primary",
        figures={
            Aspect.RECOVERY: ("saves succeed again after {saves again after s} s",),
            Aspect.RTO: ("answers again after {answers again after s} s (bound {bound s})",),
            Aspect.RPO: (
                "{missing} of {confirmed} confirmed changes missing, {refused meanwhile} refused during the outage",
            ),
        },
    ),
    Drill(
        name="grafana-standby",
        shows="the database's standby killed: no save fails, and it replicates again",
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
