"""Drills of who may do what: attacks on the gate, forgery, logins where they do not belong, erasure of a person."""

from __future__ import annotations

from ops.drills.model import Aspect, Drill

GATE: tuple[Drill, ...] = (
    Drill(
        name="gate-attacks",
        shows="bombs, floods, endless nesting and slow senders: another layer's client feels nothing, no gateway ends",
        requirements=("O1", "O2"),
        procedure="ops.drills.gate_run:attack_platform",
        evidence="gate-attacks",
        seconds=900,
        limit_s=3900,
        load="a well-behaved client of another layer, 10 requests a second",
        fault="attacks on the gateways, one after the other, in the name of the layer device and of nobody",
        figures={
            Aspect.FAULT: ("{attacks tried} attacks, {wrong answers and missing counts} answered or counted wrongly",),
            Aspect.RTO: (
                "{neighbour failures} of {neighbour requests} requests of the other layer failed",
                "P95 {neighbour P95 s} s, without attacks {neighbour P95 s without attacks} s",
            ),
            Aspect.RECOVERY: (
                "{gateway restarts} restarts, {gateways ended for want of memory} for want of memory",
                "memory at most {memory peak, share of the limit} of the limit",
            ),
        },
    ),
    Drill(
        name="fairness",
        shows="one layer sends far beyond its share: it is told to come again, another layer is refused nothing",
        requirements=("O1", "O2", "S2"),
        procedure="ops.drills.fairness:fairness_on_platform",
        evidence="fairness",
        seconds=240,
        limit_s=1200,
        load="a client of the layer device, 10 requests a second",
        fault="the layer analytics sends as much as it can of ten times its share of points, whatever it is answered",
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
        shows="more load on the gateways: one is added, and goes again afterwards; nothing acknowledged is lost",
        requirements=("S1", "O1"),
        procedure="ops.drills.procedures.autoscale:scale_gateways",
        evidence="gateways-autoscaled",
        seconds=420,
        limit_s=900,
        load="numbered metrics through the gateway, 12 clients, 8 more until a gateway is added",
        fault="more load than the gateways' autoscaler aims at, then less",
        figures={
            Aspect.STEADY: ("a gateway uses {cores of a gateway at rest} cores, {target cores} aimed at",),
            Aspect.FAULT: ("{cores of a gateway under load} cores each under load",),
            Aspect.RECOVERY: (
                "a gateway more after {pod added after s} s, gone again {pod taken away after s} s after the load",
                "it took {items that it took} items, and ended within {it ended within s} of {it may take s} s",
            ),
            Aspect.RTO: ("clients repeated {retries} sends",),
            Aspect.RPO: ("{missing} of {acknowledged} acknowledged points missing",),
        },
    ),
    Drill(
        name="quota",
        shows="a login of Kafka wants ten times its quota: it is delayed, another login and the gateways feel nothing",
        requirements=("K5", "S2"),
        procedure="ops.drills.quotas:exceed_quota",
        evidence="quota-exceeded",
        seconds=210,
        limit_s=1200,
        load="numbered metrics through the gateway, 4 clients; another login straight to Kafka, 50 records a second",
        fault="a login writes ten times its quota, then reads what it wrote as fast as it can, again and again",
        figures={
            Aspect.FAULT: (
                "{wanted, in quotas} times its quota of {quota KiB/s} KiB/s at each of {brokers} brokers wanted, "
                "{written, in quotas} written, {read, in quotas} read",
                "delayed by up to {longest delay s} s",
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
            Aspect.FAULT: ("{tried} tried, {not told as it must be} not told",),
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
        shows="what is outside of the access matrix is tried with every login of the platform: nothing is let through",
        requirements=("K5", "M1"),
        procedure="ops.drills.procedures.access:try_everything",
        evidence="access-tried",
        seconds=200,
        limit_s=900,
        load="none",
        fault="every login at every server that it is not for, and at what it may not do; no try changes anything",
        figures={
            Aspect.FAULT: ("{tries outside} tries with {logins} logins: {tries outside by part}",),
            Aspect.RPO: ("{let through} let through, {inside refused} of {tries inside} allowed ones refused",),
            Aspect.RTO: ("all within {seconds} s",),
        },
        watched=False,
    ),
    Drill(
        name="audit",
        shows="an allowed and a refused access at each source is in the audit log within a minute, its chain whole",
        requirements=("M1",),
        procedure="ops.drills.procedures.audit:tell_of_accesses",
        evidence="audit-told",
        seconds=60,
        limit_s=600,
        load="none",
        fault="a topic that a login may not see, a trace without and with a login, this command itself",
        figures={
            Aspect.FAULT: ("{accesses} accesses: {told after s}",),
            Aspect.RTO: ("told within {slowest s} s",),
            Aspect.RPO: ("{not told} not told, {breaks} breaks in the chain",),
        },
        watched=False,
    ),
    Drill(
        name="erasure",
        shows="one person is erased from traces and logs, another one stays; what is left is named with its end",
        requirements=("O3",),
        procedure="ops.drills.erasure:erase_on_platform",
        evidence="privacy-erasure",
        seconds=120,
        limit_s=960,
        load="none",
        fault="telemetry about two people who are not there otherwise; what is about one of them is removed",
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
