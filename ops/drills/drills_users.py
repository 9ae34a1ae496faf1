"""Drills of what users meet: who may do what (attacks on the gate, forgery, logins where they do not belong, a person's
erasure), notification and visualization (Alertmanager, probes, Grafana).
"""

from __future__ import annotations

from collections.abc import Mapping

from ops.drills.procedure import Aspect, Drill

GATE: tuple[Drill, ...] = (
    Drill(
        name="gate-attacks",
        shows="bombs, floods, endless nesting and slow senders: other layers are not affected, no gateway restarts",
        requirements=("O1", "O2"),
        procedure="ops.drills.gate_run:attack_platform",
        evidence="gate-attacks",
        seconds=900,
        limit_s=3900,
        load="a well-behaved client of another layer, 10 requests a second",
        fault="attacks on the gateways, one after the other, as the layer device and without a login",
        figures={
            Aspect.FAULT: ("{attacks tried} attacks, {wrong answers and missing counts} answered or counted wrongly",),
            Aspect.RTO: (
                "{neighbour failures} of {neighbour requests} requests of the other layer failed",
                "P95 {neighbour P95 s} s, without attacks {neighbour P95 s without attacks} s",
            ),
            Aspect.RECOVERY: (
                "{gateway restarts} restarts, {gateways ended for want of memory} out of memory",
                "memory at most {memory peak, share of the limit} of the limit",
            ),
        },
    ),
    Drill(
        name="fairness",
        shows="one layer far above its share: it is told to retry, no request of another layer is refused",
        requirements=("O1", "O2", "S2"),
        procedure="ops.drills.fairness:fairness_on_platform",
        evidence="fairness",
        seconds=240,
        limit_s=1200,
        load="a client of the layer device, 10 requests a second",
        fault="the layer analytics sends up to ten times its share of points and ignores the responses",
        figures={
            Aspect.FAULT: (
                "{sent points/s} points/s sent, {sent, in shares} times the share of {share points/s}; "
                "{acknowledged points/s} acknowledged",
            ),
            Aspect.RTO: (
                "{other layer refusals} of {other layer requests} requests of the other layer refused",
                "P95 {other layer P95 s} s, before {other layer P95 s before} s",
            ),
            Aspect.RPO: ("{acknowledged and lost} points acknowledged and lost",),
        },
    ),
    Drill(
        name="autoscale",
        shows="more load on the gateways: one is added and removed afterwards, no acknowledged point is lost",
        requirements=("S1", "O1"),
        procedure="ops.drills.procedures.autoscale:scale_gateways",
        evidence="gateways-autoscaled",
        seconds=420,
        limit_s=900,
        load="numbered metrics through the gateway, 12 clients, 8 more until a gateway is added",
        fault="load above the target of the gateways' autoscaler, then below it",
        figures={
            Aspect.STEADY: ("a gateway uses {cores of a gateway at rest} cores, target {target cores}",),
            Aspect.FAULT: ("{cores of a gateway under load} cores each under load",),
            Aspect.RECOVERY: (
                "gateway added after {pod added after s} s, removed {pod taken away after s} s after the load",
                "it took {items that it took} items, and terminated within {it ended within s} of {it may take s} s",
            ),
            Aspect.RTO: ("clients retried {retries} requests",),
            Aspect.RPO: ("{missing} of {acknowledged} acknowledged points missing",),
        },
    ),
    Drill(
        name="quota",
        shows="a Kafka login at ten times its quota: it is throttled, another login and the gateways are not affected",
        requirements=("K5", "S2"),
        procedure="ops.drills.quotas:exceed_quota",
        evidence="quota-exceeded",
        seconds=210,
        limit_s=1200,
        load="numbered metrics through the gateway, 4 clients; a producer with another login, 50 records a second",
        fault="a login writes ten times its quota, then reads it back repeatedly as fast as it can",
        figures={
            Aspect.FAULT: (
                "{wanted, in quotas} times its quota of {quota KiB/s} KiB/s at each of {brokers} brokers attempted, "
                "{written, in quotas} written, {read, in quotas} read",
                "throttled by up to {longest delay s} s",
            ),
            Aspect.RTO: ("P95 of the other login {other login P95 s} s, before {other login P95 s before} s",),
            Aspect.RPO: (
                "{gateway missing} of {gateway acknowledged} acknowledged points missing",
                "{other login missing} of the other login's {other login acknowledged} missing",
            ),
        },
    ),
    Drill(
        name="gate-forgery",
        shows="every reserved name sent as every layer in every signal: none arrives under its reserved meaning",
        requirements=("O2", "O3"),
        procedure="ops.drills.gate_forgery_run:forge_platform",
        evidence="gate-forgery",
        seconds=180,
        limit_s=1260,
        load="none",
        fault="reserved names of metrics, labels, services, resources and layers in requests of ordinary layers",
        figures={
            Aspect.FAULT: ("{tried} attempts, {not told as it must be} without the required refusal",),
            Aspect.RPO: (
                "under a reserved meaning: {in Kafka under a reserved meaning} in Kafka, "
                "{in Prometheus under a reserved meaning} in Prometheus, "
                "{in traces under a reserved meaning} in traces, {in logs under a reserved meaning} in logs",
            ),
        },
        watched=False,
    ),
    Drill(
        name="access",
        shows="every login attempts what the access matrix does not permit: every attempt is refused",
        requirements=("K5", "M1"),
        procedure="ops.drills.procedures.access:try_everything",
        evidence="access-tried",
        seconds=200,
        limit_s=900,
        load="none",
        fault="every login at every server and operation that it has no permission for; no attempt changes anything",
        figures={
            Aspect.FAULT: (
                "{tries outside} attempts without permission with {logins} logins: {tries outside by part}",
            ),
            Aspect.RPO: ("{let through} allowed, {inside refused} of {tries inside} permitted ones refused",),
            Aspect.RTO: ("all within {seconds} s",),
        },
        watched=False,
    ),
    Drill(
        name="audit",
        shows="an allowed and a refused access at each source is in the audit report within a minute, its chain intact",
        requirements=("M1",),
        procedure="ops.drills.procedures.access:tell_of_accesses",
        evidence="audit-told",
        seconds=60,
        limit_s=600,
        load="none",
        fault="at each source a request with and one without permission; this command, and one without rights",
        figures={
            Aspect.FAULT: ("{accesses} accesses, in the report after s: {told after s}",),
            Aspect.RTO: ("in the report within {slowest s} s",),
            Aspect.RPO: ("{not told} not in the report, {breaks} breaks in the chain",),
        },
        watched=False,
    ),
    Drill(
        name="erasure",
        shows="one person is erased from traces and logs, another is kept; what remains is listed with its expiry",
        requirements=("O3",),
        procedure="ops.drills.erasure:erase_on_platform",
        evidence="privacy-erasure",
        seconds=120,
        limit_s=960,
        load="none",
        fault="telemetry about two synthetic people; that of one of them is erased",
        figures={
            Aspect.FAULT: ("found before: {found before}",),
            Aspect.RTO: ("erased within {seconds} s",),
            Aspect.RPO: (
                "{removed} removed, {left in traces and logs} left in traces and logs",
                "{of the other person lost} of the other person lost",
            ),
        },
        watched=False,
    ),
)


_PROCEDURES = "ops.drills.procedures"
_LATENCY: Mapping[Aspect, tuple[str, ...]] = {
    Aspect.FAULT: ("{situation}",),
    Aspect.RPO: ("{critical lost} of {critical runs} Critical and {high lost} of {high runs} High lost",),
    Aspect.ALERTS: ("{critical runs} Critical and {high runs} High raised", "{raised, by name and layer}"),
    Aspect.NOTIFICATIONS: (
        "{duplicates} of {notices} notifications twice",
        "Critical (median, P95, worst) {critical s median, p95, worst} s",
        "High {high s median, p95, worst} s",
        "P95 in s: {p95 s, by name and layer}",
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
        load="20 Critical conditions of two alerts and layers, 20 High ones",
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
        load="20 Critical conditions of two alerts and layers, 20 High ones",
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
