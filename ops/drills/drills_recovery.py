"""Drills of what is lost or changed as a whole: storage, certificates, everything with a backup, a zone, a region."""

from __future__ import annotations

from ops.drills.procedure import Aspect, Drill
from ops.drills.tools.durations import CHAOS_MINUTES

_PROCEDURES = "ops.drills.procedures"
_METRICS = "numbered metrics through the gateway, 4 clients"

RECOVERY: tuple[Drill, ...] = (
    Drill(
        name="object-storage",
        shows="the object storage down: the archive is complete afterwards",
        requirements=("D1",),
        procedure=f"{_PROCEDURES}.object_storage:stop_object_storage",
        evidence="archive-storage-outage",
        seconds=150,
        limit_s=960,
        load=_METRICS,
        fault="the object storage stopped",
        figures={
            Aspect.FAULT: ("down for {storage away s} s",),
            Aspect.RECOVERY: ("archived again after {stored again after s} s",),
            Aspect.RPO: ("{missing} of {records} records missing, {different} different",),
        },
    ),
    Drill(
        name="restore",
        shows="every kind of backup is created and compared; four kinds are restored into empty targets",
        requirements=("D1", "M2"),
        procedure=f"{_PROCEDURES}.restore:restore_everything",
        evidence="backups-restored",
        seconds=900,
        limit_s=2460,
        load="none",
        fault="none: targets are new; in the running platform, only a topic of the drill is deleted and recreated",
        figures={
            Aspect.RTO: (
                "restore: database {database/seconds} s",
                "Grafana {grafana/seconds} s",
                "Kafka's metadata {kafka-metadata/seconds} s",
                "search {search/seconds} s",
                "Pulumi's state {pulumi-state/seconds} s",
                "a topic of the archive {archive/seconds} s",
                "metrics {metrics/seconds} s",
            ),
            Aspect.RPO: (
                "search: {search/documents compared} documents compared",
                "archive: {archive/compared_equal} of {archive/records} records equal",
                "metrics: {metrics/samples compared} samples compared",
            ),
        },
        watched=False,
    ),
    Drill(
        name="certificate",
        shows="every certificate renewed at once: servers present the new ones, no query fails, nothing is lost",
        requirements=("K5",),
        procedure=f"{_PROCEDURES}.certificates:renew_certificates",
        evidence="certificates-renewed",
        seconds=900,
        limit_s=3660,
        load=f"{_METRICS}; a marker and a query at the read address each second",
        fault="every workload's certificate renewed; Kafka and Jaeger's queries, which read theirs at start, restarted",
        figures={
            Aspect.FAULT: ("{certificates} certificates, {ports} ports; issued after {issued after s} s",),
            Aspect.RECOVERY: (
                "new ones presented after {presented after s} s, except by {old ones still presented by}",
                "those restarted by `ops certificates --roll` after {rolled after s} s",
            ),
            Aspect.RTO: ("gateway clients retried {retries} requests",),
            Aspect.RPO: ("{missing} of {acknowledged} acknowledged points missing",),
            Aspect.DASHBOARDS: ("{failed queries} of {queries} queries at the read address failed",),
        },
    ),
    Drill(
        name="admin-password",
        shows="the Kafka administrator's password changed: the old one is refused, no acknowledged point is lost",
        requirements=("K5",),
        procedure=f"{_PROCEDURES}.passwords:change_password",
        evidence="kafka-admin-password",
        seconds=480,
        limit_s=6000,
        load=_METRICS,
        fault="the password replaced by pulumi up --target-replace, `ops kafka admin-password`, pulumi up",
        figures={
            Aspect.FAULT: (
                "replaced by Pulumi within {replaced after s} s",
                "set in Kafka within {set in Kafka after s} s, the update after it {pulumi up s} s",
            ),
            Aspect.RECOVERY: (
                "accepted by {brokers that take the new one} of {brokers} brokers",
                "the old one refused by {brokers that refuse the old one}",
            ),
            Aspect.RTO: (
                "longest pause of a client {longest pause of a client s} s",
                "gateway clients retried {retries} requests",
            ),
            Aspect.RPO: ("{missing} of {acknowledged} acknowledged points missing",),
        },
        # The watcher signs in as the administrator, which fails for a while.
        watched=False,
    ),
    Drill(
        name="kafka-logins",
        shows="every Kafka client gets a new login: the old ones are revoked, no client is refused, nothing is lost",
        requirements=("K5",),
        procedure=f"{_PROCEDURES}.passwords:rotate_logins",
        evidence="kafka-logins-rotated",
        seconds=1600,
        limit_s=6000,
        load=f"{_METRICS}; numbered log records through the gateway",
        fault="`ops kafka rotate-logins`: settings.kafka.login_generations, and pulumi up, twice",
        figures={
            Aspect.FAULT: ("{clients} clients, generation {generation}, within {rotated within s} s",),
            Aspect.RECOVERY: (
                "{old logins refused by every broker} of {clients} old logins refused by every broker",
                "{logins refused meanwhile} logins refused during the rotation",
            ),
            Aspect.RTO: (
                "longest pause of a client {longest pause of a client s} s",
                "gateway clients retried {retries} requests",
            ),
            Aspect.RPO: (
                "{missing} of {acknowledged} acknowledged points missing",
                "{log records missing} of {log records acknowledged} log records missing",
            ),
        },
    ),
    Drill(
        name="gateway-passwords",
        shows="layers get new passwords, both accepted: no client is refused, old ones are revoked when unused",
        requirements=("O1",),
        procedure=f"{_PROCEDURES}.passwords:rotate_passwords",
        evidence="gateway-passwords-rotated",
        seconds=900,
        limit_s=6000,
        load=f"{_METRICS}, one with the old password, one with the new one",
        fault="`ops gateway rotate-passwords`, later --finish: settings.gateway.password_generations, pulumi up",
        figures={
            Aspect.FAULT: (
                "generation {generations}; both accepted within {both taken within s} s, the old ones revoked within "
                "{ended within s} s",
            ),
            Aspect.RECOVERY: (
                "{passwords of before refused} of {layers} old passwords refused at the end",
                "{refused with a good password} requests refused with a valid password",
                "{requests with one of before counted} requests with an old password delayed its revocation",
            ),
            Aspect.RTO: ("longest pause of a client {longest pause of a client s} s",),
            Aspect.RPO: ("{missing} of {acknowledged} acknowledged points missing",),
        },
    ),
    Drill(
        name="zone",
        shows="one pod of every replicated workload lost at once: the others continue, nothing is lost",
        requirements=("K1", "D3"),
        procedure=f"{_PROCEDURES}.zone:take_zone_away",
        evidence="zone-gone",
        seconds=420,
        limit_s=1560,
        load=f"{_METRICS}; a marker and a query at the read address each second; two Critical conditions",
        fault="the broker that leads the alert's partition, the last pod of each other workload and the primary "
        "Prometheus frozen at once, then killed",
        figures={
            Aspect.FAULT: ("down for {away s} s",),
            Aspect.DETECTION: ("{alerts}",),
            Aspect.RECOVERY: ("recovered {whole again after s} s after it came back",),
            Aspect.RTO: ("longest pause of clients {longest pause of clients s} s",),
            Aspect.RPO: ("{missing} of {acknowledged} acknowledged points missing",),
            Aspect.NOTIFICATIONS: (
                "Critical notified after {Critical at once told after s} s, "
                "a later one after {Critical once noticed told after s} s",
                "{notices twice} notifications twice",
            ),
            Aspect.DASHBOARDS: ("{failed queries} of {queries} queries at the read address failed",),
        },
    ),
    Drill(
        name="chaos",
        shows="one or two faults a minute from a seeded plan: nothing is lost, alerts are notified, queries answered",
        requirements=("K1", "O1", "S2", "D3"),
        procedure=f"{_PROCEDURES}.chaos:make_chaos",
        evidence="chaos",
        seconds=60 * CHAOS_MINUTES + 300,
        limit_s=360 * CHAOS_MINUTES + 1200,
        load="numbered metrics, log records and traces through the gateway; a marker and a query at the read "
        "address each second; a Critical condition with every third step",
        fault="pods killed, frozen or partitioned from each other, object storage and cluster DNS down, "
        "a broker's disk full or slow, a client's clock changed, certificates renewed, as the seed selects",
        figures={
            Aspect.FAULT: ("seed {seed}, {minutes} minutes: {steps}",),
            Aspect.RECOVERY: ("recovered after each step, s: {whole again after s}",),
            Aspect.RTO: ("longest pause of clients {longest pause of clients s} s",),
            Aspect.RPO: (
                "{missing} of {acknowledged} acknowledged points missing, {doubled in Kafka} twice in Kafka",
                "{log records missing} of {log records acknowledged} log records missing, {log records doubled} twice",
                "{spans lost} of {spans acknowledged} spans lost",
            ),
            Aspect.NOTIFICATIONS: (
                "{Criticals told in time} of {Criticals} Critical alerts within 30 s of their fault, the last after "
                "{Critical told after s, worst} s; {notices twice} notifications twice",
            ),
            Aspect.DASHBOARDS: (
                "{failed queries} of {queries} queries at the read address failed, no answer for at most "
                "{longest time without an answer s} s",
            ),
        },
    ),
    Drill(
        name="region",
        shows="a region lost without warning: the other one takes over, becomes active, and fails back",
        requirements=("D2", "D3"),
        procedure=f"{_PROCEDURES}.region:lose_region",
        evidence="region-drill",
        seconds=3600,
        limit_s=6300,
        load="numbered metrics and logs through the DNS name of the active region",
        fault="the primary region's network partitioned and its pods frozen",
        figures={
            Aspect.STEADY: ("replication lag at most {steady/copy behind s} s, {steady/differences} differences",),
            Aspect.FAULT: ("failover steps, s: {failover steps s}",),
            Aspect.DETECTION: ("{detected by} after {detected after s} s",),
            Aspect.RECOVERY: (
                "resized by the promotion: {workloads resized}",
                "every workload of the new region ready after {workloads ready after s} s",
                "failback {failback command s} s, {failback lost} records lost",
            ),
            Aspect.RTO: (
                "{RTO s} s after the cut",
                "telemetry accepted after {accepted after s} s, readable after {readable after s} s",
                "a Critical notified after {Critical told after s} s",
                "failover command {failover command s} s",
            ),
            Aspect.RPO: (
                "{RPO s} s",
                "{missing in B} of {acknowledged in A} points that A acknowledged missing in B",
                "{missing of B's} of {acknowledged in B} points that B acknowledged missing",
                "a consumer group: {group read again} records read again, {group lost} lost",
            ),
            Aspect.ALERTS: ("{alerts lost} of {alerts raised} lost",),
            Aspect.NOTIFICATIONS: (
                "{told again by B} of {told by A before the cut} notifications of A sent again by B",
                "{told by B of the gap} notifications about {fired in the gap} alerts that fired in the gap",
            ),
            Aspect.DASHBOARDS: ("{questions without an answer} of {questions at B} queries at B without an answer",),
        },
        watched=False,
        looked_at=False,
    ),
    Drill(
        name="change",
        shows="a threshold changed in a scratch checkout: review and preview show this change and no other",
        requirements=("M4",),
        procedure=f"{_PROCEDURES}.change:change_threshold",
        evidence="change-reviewed",
        seconds=300,
        limit_s=1560,
        load="none",
        fault="none: nothing is deployed",
        figures={
            Aspect.FAULT: ("{change}",),
            Aspect.DETECTION: ("{in plain words}",),
            Aspect.RECOVERY: ("review {review s} s, preview {preview s} s",),
        },
        watched=False,
        looked_at=False,
    ),
)
