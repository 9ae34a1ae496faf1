"""Drills of what is lost or changed as a whole: storage, certificates, everything with a backup, a zone, a region."""

from __future__ import annotations

from ops.drills.model import Aspect, Drill
from ops.drills.tools.durations import CHAOS_MINUTES

_PROCEDURES = "ops.drills.procedures"
_METRICS = "numbered metrics through the gateway, 4 clients"

RECOVERY: tuple[Drill, ...] = (
    Drill(
        name="object-storage",
        shows="the object storage away: nothing is missing in the archive afterwards",
        requirements=("D1",),
        procedure=f"{_PROCEDURES}.object_storage:stop_object_storage",
        evidence="archive-storage-outage",
        seconds=150,
        limit_s=960,
        load=_METRICS,
        fault="the object storage stopped",
        figures={
            Aspect.FAULT: ("away for {storage away s} s",),
            Aspect.RECOVERY: ("stored again after {stored again after s} s",),
            Aspect.RPO: ("{missing} of {records} records missing, {different} different",),
        },
    ),
    Drill(
        name="restore",
        shows="every kind of backup is made and compared; four kinds are restored into something empty",
        requirements=("D1", "M2"),
        procedure=f"{_PROCEDURES}.restore:restore_everything",
        evidence="backups-restored",
        seconds=900,
        limit_s=2460,
        load="none",
        fault="none: targets are new, in the running platform only a topic of the drill is removed and made again",
        figures={
            Aspect.RTO: (
                "to restore: database {database/seconds} s",
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
        shows="every certificate renewed at once: servers present the new ones, nobody notices, nothing is lost",
        requirements=("K5",),
        procedure=f"{_PROCEDURES}.certificates:renew_certificates",
        evidence="certificates-renewed",
        seconds=900,
        limit_s=3660,
        load=f"{_METRICS}; a marker and a question at the read address each second",
        fault="every certificate of a workload renewed; Kafka and Jaeger's queries rolled, which read at the start",
        figures={
            Aspect.FAULT: ("{certificates} certificates, {ports} ports; issued after {issued after s} s",),
            Aspect.RECOVERY: (
                "new ones presented after {presented after s} s, but by {old ones still presented by}",
                "those rolled by `ops certificates --roll` after {rolled after s} s",
            ),
            Aspect.RTO: ("clients of the gateway repeated {retries} sends",),
            Aspect.RPO: ("{missing} of {acknowledged} acknowledged points missing",),
            Aspect.DASHBOARDS: ("{failed queries} of {queries} questions at the read address failed",),
        },
    ),
    Drill(
        name="admin-password",
        shows="the password of Kafka's administrator changed: the old one is refused, nobody notices, nothing is lost",
        requirements=("K5",),
        procedure=f"{_PROCEDURES}.admin_password:change_password",
        evidence="kafka-admin-password",
        seconds=480,
        limit_s=6000,
        load=_METRICS,
        fault="the password replaced by `pulumi up --target-replace`, `ops kafka admin-password`, `pulumi up`",
        figures={
            Aspect.FAULT: (
                "replaced by Pulumi within {replaced after s} s",
                "set in Kafka within {set in Kafka after s} s, the update after it {pulumi up s} s",
            ),
            Aspect.RECOVERY: (
                "taken by {brokers that take the new one} of {brokers} brokers",
                "the old one refused by {brokers that refuse the old one}",
            ),
            Aspect.RTO: (
                "longest pause of a client {longest pause of a client s} s",
                "clients of the gateway repeated {retries} sends",
            ),
            Aspect.RPO: ("{missing} of {acknowledged} acknowledged points missing",),
        },
        # From outside it is looked at as the administrator, who cannot sign in for a while.
        watched=False,
    ),
    Drill(
        name="kafka-logins",
        shows="every client of Kafka gets a new login: the old ones end, nobody is refused, none is lost",
        requirements=("K5",),
        procedure=f"{_PROCEDURES}.kafka_logins:rotate_logins",
        evidence="kafka-logins-rotated",
        seconds=1600,
        limit_s=6000,
        load=f"{_METRICS}; numbered log records through the gateway",
        fault="`ops kafka rotate-logins`: settings.kafka.login_generations, and `pulumi up`, twice",
        figures={
            Aspect.FAULT: ("{clients} clients, generation {generation}, within {rotated within s} s",),
            Aspect.RECOVERY: (
                "{old logins refused by every broker} of {clients} logins of before are refused by every broker",
                "{logins refused meanwhile} logins refused while clients changed over",
            ),
            Aspect.RTO: (
                "longest pause of a client {longest pause of a client s} s",
                "clients of the gateway repeated {retries} sends",
            ),
            Aspect.RPO: (
                "{missing} of {acknowledged} acknowledged points missing",
                "{log records missing} of {log records acknowledged} log records missing",
            ),
        },
    ),
    Drill(
        name="gateway-passwords",
        shows="layers get new passwords while both are taken: nobody is refused, those of before end when unused",
        requirements=("O1",),
        procedure=f"{_PROCEDURES}.gateway_passwords:rotate_passwords",
        evidence="gateway-passwords-rotated",
        seconds=900,
        limit_s=6000,
        load=f"{_METRICS}, one with the password of before, one with the new one",
        fault="`ops gateway rotate-passwords`, later --finish: settings.gateway.password_generations, `pulumi up`",
        figures={
            Aspect.FAULT: (
                "generation {generations}; both taken within {both taken within s} s, those of before ended within "
                "{ended within s} s",
            ),
            Aspect.RECOVERY: (
                "{passwords of before refused} of {layers} passwords of before are refused at the end",
                "{refused with a good password} requests refused with a password that was good",
                "{requests with one of before counted} requests with one of before counted, which kept it from ending",
            ),
            Aspect.RTO: ("longest pause of a client {longest pause of a client s} s",),
            Aspect.RPO: ("{missing} of {acknowledged} acknowledged points missing",),
        },
    ),
    Drill(
        name="zone",
        shows="one of everything that runs twice or thrice gone at once: the others go on, nothing is lost",
        requirements=("K1", "D3"),
        procedure=f"{_PROCEDURES}.zone:take_zone_away",
        evidence="zone-gone",
        seconds=420,
        limit_s=1560,
        load=f"{_METRICS}; a marker and a question at the read address each second; two Critical conditions",
        fault="the broker that leads the alert's partition, the last pod of each other workload and the primary "
        "Prometheus frozen at once, then killed",
        figures={
            Aspect.FAULT: ("away for {away s} s",),
            Aspect.DETECTION: ("{alerts}",),
            Aspect.RECOVERY: ("whole again {whole again after s} s after it came back",),
            Aspect.RTO: ("longest pause of clients {longest pause of clients s} s",),
            Aspect.RPO: ("{missing} of {acknowledged} acknowledged points missing",),
            Aspect.NOTIFICATIONS: (
                "Critical told after {Critical at once told after s} s, later {Critical once noticed told after s} s",
                "{notices twice} twice",
            ),
            Aspect.DASHBOARDS: ("{failed queries} of {queries} questions at the read address failed",),
        },
    ),
    Drill(
        name="chaos",
        shows="a fault or two a minute by a plan that a seed decides: nothing is lost, alerts are told, reads answered",
        requirements=("K1", "O1", "S2", "D3"),
        procedure=f"{_PROCEDURES}.chaos:make_chaos",
        evidence="chaos",
        seconds=60 * CHAOS_MINUTES + 300,
        limit_s=360 * CHAOS_MINUTES + 1200,
        load="numbered metrics, log records and traces through the gateway; a marker and a question at the read "
        "address each second; a Critical condition with every third step",
        fault="pods killed and frozen, two cut off from each other, the object storage and the cluster's DNS away, "
        "the disk of a broker full or slow, the clock of a client set, "
        "certificates renewed, as the seed decides",
        figures={
            Aspect.FAULT: ("seed {seed}, {minutes} minutes: {steps}",),
            Aspect.RECOVERY: ("whole again after each step, s: {whole again after s}",),
            Aspect.RTO: ("longest pause of clients {longest pause of clients s} s",),
            Aspect.RPO: (
                "{missing} of {acknowledged} acknowledged points missing, {doubled in Kafka} twice in Kafka",
                "{log records missing} of {log records acknowledged} log records missing, {log records doubled} twice",
                "{spans lost} of {spans acknowledged} spans lost",
            ),
            Aspect.NOTIFICATIONS: (
                "{Criticals told in time} of {Criticals} Critical alerts within 30 s of their fault, the last after "
                "{Critical told after s, worst} s; {notices twice} twice",
            ),
            Aspect.DASHBOARDS: (
                "{failed queries} of {queries} questions at the read address failed, none answered for at most "
                "{longest time without an answer s} s",
            ),
        },
    ),
    Drill(
        name="region",
        shows="a region gone without warning: the other one takes over, is active, and hands back",
        requirements=("D2", "D3"),
        procedure=f"{_PROCEDURES}.region:lose_region",
        evidence="region-drill",
        seconds=3600,
        limit_s=6300,
        load="numbered metrics and logs through the name that DNS answers with",
        fault="the primary region's network cut and its pods frozen",
        figures={
            Aspect.STEADY: ("copy behind by {steady/copy behind s} s at most, {steady/differences} differences",),
            Aspect.FAULT: ("steps of the failover, s: {failover steps s}",),
            Aspect.DETECTION: ("{detected by} after {detected after s} s",),
            Aspect.RECOVERY: ("failback {failback command s} s, {failback lost} records lost by it",),
            Aspect.RTO: (
                "{RTO s} s after the cut",
                "telemetry accepted {accepted after s} s, readable {readable after s} s",
                "a Critical told {Critical told after s} s",
                "the command itself {failover command s} s",
            ),
            Aspect.RPO: (
                "{RPO s} s",
                "{missing in B} of {acknowledged in A} points that A acknowledged missing in B",
                "{missing of B's} of {acknowledged in B} that B acknowledged",
                "a consumer group: {group read again} read again, {group lost} lost",
            ),
            Aspect.ALERTS: ("{alerts lost} of {alerts raised} lost",),
            Aspect.NOTIFICATIONS: (
                "{told again by B} of {told by A before the cut} that A had told were told again by B",
                "{told by B of the gap} notifications about {fired in the gap} alerts of the gap",
            ),
            Aspect.DASHBOARDS: ("{questions without an answer} of {questions at B} questions at B without an answer",),
        },
        watched=False,
        looked_at=False,
    ),
    Drill(
        name="change",
        shows="a threshold changed in a scratch checkout is reviewed in plain words and previewed, and nothing else",
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
