"""Drills of the paths of telemetry: gateways, Kafka, consumers, Prometheus; traces and logs."""

from __future__ import annotations

from ops.drills.procedure import PUT_BACK_BY_UP_S, Aspect, Drill

_PROCEDURES = "ops.drills.procedures"
_METRICS = "numbered metrics through the gateway, 4 clients"
_BOTH = f"{_METRICS}; a direct Kafka producer, 50 records a second"
_AGAIN = "gateway clients retried {gateway retries} requests"
_PAUSES = "longest pause of a client {longest pause of a client s} s, of a producer {longest pause of a producer s} s"
_LOST = "{gateway missing} of {gateway acknowledged} acknowledged points missing"
_LOST_BY_BOTH = (_LOST, "{producer missing} of the producer's {producer acknowledged} missing")

FLOW: tuple[Drill, ...] = (
    Drill(
        name="broker",
        shows="one of three brokers killed: no acknowledged data is lost",
        requirements=("K1",),
        procedure=f"{_PROCEDURES}.kafka:kill_broker",
        evidence="broker-killed",
        seconds=60,
        limit_s=480,
        load=_BOTH,
        fault="SIGKILL to a broker",
        figures={
            Aspect.RECOVERY: ("broker back after {broker back after s} s",),
            Aspect.RTO: (
                "longest pause of a producer {longest pause of a producer s} s",
                _AGAIN,
            ),
            Aspect.RPO: _LOST_BY_BOTH,
        },
    ),
    Drill(
        name="two-brokers",
        shows="two of three brokers killed: no producer's record is accepted, gateways keep accepting, nothing is lost",
        requirements=("K1", "O1"),
        procedure=f"{_PROCEDURES}.kafka:kill_two_brokers",
        evidence="two-brokers-killed",
        seconds=130,
        limit_s=660,
        load=_BOTH,
        fault="SIGKILL to two brokers, kept down",
        figures={
            Aspect.FAULT: (
                "down for {down s} s",
                "{accepted with two brokers down} records accepted from the producer meanwhile",
                "refused by a broker: {refused by brokers}; timed out in the client: {given up by the client}",
            ),
            Aspect.RECOVERY: ("brokers back after {brokers back after s} s",),
            Aspect.RTO: (_AGAIN,),
            Aspect.RPO: _LOST_BY_BOTH,
        },
    ),
    Drill(
        name="kafka",
        shows="all brokers down: the gateways buffer on disk, and nothing is lost",
        requirements=("K1", "O1"),
        procedure=f"{_PROCEDURES}.kafka:stop_kafka",
        evidence="kafka-outage",
        seconds=170,
        limit_s=1320,
        load=_METRICS,
        fault="SIGKILL to all brokers, kept down",
        figures={
            Aspect.FAULT: ("down for {outage s} s",),
            Aspect.RECOVERY: ("brokers back after {brokers back after s} s",),
            Aspect.RTO: (
                "{accepted during the outage} points accepted during the outage",
                _AGAIN,
            ),
            Aspect.RPO: (_LOST,),
        },
    ),
    Drill(
        name="partitions",
        shows="partitions added to the metrics and traces topics by settings: nothing is lost, all are consumed",
        requirements=("K6",),
        procedure=f"{_PROCEDURES}.growth:add_partitions",
        evidence="partitions-added",
        seconds=240,
        limit_s=2400,
        load=_METRICS,
        fault="50 % more partitions by the stack file and pulumi up; the platform keeps them",
        figures={
            Aspect.FAULT: ("{partitions}", "pulumi up took {pulumi up s} s"),
            Aspect.RECOVERY: (
                "every group consumes the new partitions {new partitions read after s} s after the update",
            ),
            Aspect.RTO: (
                "longest pause of a client {longest pause of a client s} s",
                "gateway clients retried {retries} requests",
            ),
            Aspect.RPO: (
                "missing of {acknowledged} acknowledged points: {missing}",
                "{keys that moved} of {keys} keys moved, {points out of order within a partition} points out of order",
            ),
        },
    ),
    Drill(
        name="shards",
        shows="metrics divided over two, then three shards by settings: one view, nothing lost, alerts notified once",
        requirements=("P4",),
        procedure=f"{_PROCEDURES}.shards:add_shards",
        evidence="shards-added",
        seconds=870,
        limit_s=3600,
        put_back_s=PUT_BACK_BY_UP_S,
        load=f"{_METRICS}; a lasting High, a Critical after each update, a query a second at the read address",
        fault="one more shard for each replica, twice, by the stack file and pulumi up; reverted at the end",
        figures={
            Aspect.FAULT: ("{shards}", "pulumi up took {pulumi up s} s"),
            Aspect.RECOVERY: (
                "every sender in one shard {divided after s} s after the update",
                "the largest of three shards has {senders of the fullest shard} of {senders} senders",
            ),
            Aspect.RTO: (
                "Critical notified after {Critical told after s} s, a lasting High notified "
                "{notices of the High that lasted} times",
                "{failed questions} of {questions} queries failed",
                "longest pause of a client {longest pause of a client s} s",
            ),
            Aspect.RPO: (
                "missing of {acknowledged} acknowledged points: {missing}",
                "series of the load at the read address {fewest series of the load read} to "
                "{most series of the load read} of {series of the load read}",
                "{points left out by the read address} points omitted by the read address",
            ),
        },
    ),
    Drill(
        name="storage-grow",
        shows="the brokers' volumes expanded by settings under load: no pod restarts, nothing is lost",
        requirements=("S1",),
        procedure=f"{_PROCEDURES}.growth:grow_brokers",
        evidence="storage-grown",
        seconds=360,
        limit_s=3600,
        load=_METRICS,
        fault="1 GiB more for each broker's volume by `ops storage grow` and pulumi up; the platform keeps it",
        figures={
            Aspect.FAULT: ("{size}", "pulumi up afterwards took {pulumi up s} s"),
            Aspect.RECOVERY: ("{volumes that have it} of {volumes} volumes expanded after {grown after s} s",),
            Aspect.RTO: (
                "{pods restarted} of {pods} brokers restarted",
                "longest pause of a client {longest pause of a client s} s",
            ),
            Aspect.RPO: ("{missing} of {acknowledged} acknowledged points missing",),
        },
    ),
    Drill(
        name="rebalance",
        shows="a fourth broker added by settings, rebalanced, drained and removed: nothing is lost",
        requirements=("K1", "S1"),
        procedure=f"{_PROCEDURES}.growth:add_and_drain_broker",
        evidence="broker-added",
        seconds=900,
        limit_s=7200,
        put_back_s=PUT_BACK_BY_UP_S,
        load=_METRICS,
        fault="one more broker by the stack file and pulumi up, `ops kafka rebalance`, then drained and removed",
        figures={
            Aspect.FAULT: ("brokers {brokers}", "pulumi up took {grown in s} s and {shrunk in s} s"),
            Aspect.RECOVERY: (
                "{copies moved to it} replicas moved to it in {moved in s} s, {copies moved away} away in "
                "{drained in s} s",
            ),
            Aspect.RTO: (
                "longest pause of a client {longest pause of a client s} s",
                "gateway clients retried {retries} requests",
            ),
            Aspect.RPO: ("{missing} of {acknowledged} acknowledged points missing",),
        },
    ),
    Drill(
        name="kafka-roll",
        shows="a rolling restart of Kafka keeps at least two in-sync replicas, and loses nothing",
        requirements=("K1", "M4"),
        procedure=f"{_PROCEDURES}.kafka:roll_kafka",
        evidence="kafka-rolling-restart",
        seconds=120,
        limit_s=960,
        load=_BOTH,
        fault="every broker restarted, one after the other",
        figures={
            Aspect.FAULT: ("fewest in-sync replicas {lowest ISR} in {polls} polls",),
            Aspect.RECOVERY: ("all restarted after {seconds} s",),
            Aspect.RTO: (_AGAIN,),
            Aspect.RPO: _LOST_BY_BOTH,
        },
    ),
    Drill(
        name="kafka-upgrade",
        shows="Kafka upgraded from the release before, downgraded, upgraded, its format raised: nothing is lost",
        requirements=("K1", "M4"),
        procedure=f"{_PROCEDURES}.kafka_upgrade:upgrade_kafka",
        evidence="kafka-upgraded",
        seconds=780,
        limit_s=6000,
        put_back_s=PUT_BACK_BY_UP_S,
        load=_BOTH,
        fault="another release of Kafka by its digest in the stack file and pulumi up, three times; then "
        "`metadata.version` raised; the platform keeps both",
        figures={
            Aspect.FAULT: ("Kafka {releases}", "fewest in-sync replicas {lowest ISR} in {polls} polls"),
            Aspect.RECOVERY: ("rolled after s: {rolled in s}", "metadata.version {format}"),
            Aspect.RTO: (_PAUSES, "gateway clients retried {retries} requests"),
            Aspect.RPO: (
                "{missing} of {acknowledged} acknowledged points missing",
                "{producer missing} of the producer's {producer acknowledged} missing",
            ),
        },
    ),
    Drill(
        name="kafka-controllers",
        shows="dedicated controllers of Kafka lost, then two of three, then one with a broker: nothing is lost",
        requirements=("K1",),
        procedure=f"{_PROCEDURES}.kafka_controllers:lose_controllers",
        evidence="kafka-controllers",
        seconds=300,
        limit_s=2400,
        load=_BOTH,
        fault="SIGKILL to the active controller; to two of three, kept down; to a broker while one controller is down",
        figures={
            Aspect.FAULT: (
                "two of three down for {down s} s, no quorum for {without a quorum s} s",
                "a new topic was answered with {answer to a new topic}",
            ),
            Aspect.RECOVERY: (
                "another controller active after {new active controller after s} s, a topic created after "
                "{topic created after s} s",
                "quorum {quorum again after s} s after the two were started",
                "controller back after {controller back after s} s, two after {controllers back after s} s",
                "broker back after {broker back after s} s",
            ),
            Aspect.RTO: (
                _PAUSES,
                "{read without a quorum} of {acknowledged without a quorum} points acknowledged without a quorum were "
                "read meanwhile",
                "{producer acknowledged without a quorum} records of the producer acknowledged meanwhile",
                "gateway clients retried {retries} requests",
            ),
            Aspect.RPO: (
                "{missing} of {acknowledged} acknowledged points missing",
                "{producer missing} of the producer's {producer acknowledged} missing",
            ),
        },
    ),
    Drill(
        name="disk-full",
        shows="the disk of one of three brokers full to the last block: an alert fires, and nothing is lost",
        requirements=("K1", "O1"),
        procedure=f"{_PROCEDURES}.kafka:fill_broker_disk",
        evidence="broker-disk-full",
        seconds=200,
        limit_s=1500,
        load=_BOTH,
        fault="the disk of the broker that leads the alert's partition full until KafkaBrokerDown fires",
        figures={
            Aspect.FAULT: ("the broker stopped {broker stopped after s} s after its disk was full",),
            Aspect.RECOVERY: ("recovered {whole again after s} s after space was freed",),
            Aspect.RTO: (_PAUSES,),
            Aspect.RPO: _LOST_BY_BOTH,
            Aspect.NOTIFICATIONS: ("KafkaBrokerDown fired after {told after s} s",),
        },
    ),
    Drill(
        name="disk-slow",
        shows="a broker's disk limited to two writes a second: nothing is lost, Criticals are notified in time",
        requirements=("K1", "M3"),
        procedure=f"{_PROCEDURES}.kafka:slow_broker_disk",
        evidence="broker-disk-slow",
        seconds=150,
        limit_s=1200,
        load=f"{_BOTH}; a Critical condition",
        fault="the disk of the broker that leads the alert's partition limited to two writes a second",
        figures={
            Aspect.FAULT: ("slow for {slow for s} s",),
            Aspect.RECOVERY: ("recovered {whole again after s} s after the limit was lifted",),
            Aspect.RTO: (_PAUSES,),
            Aspect.RPO: _LOST_BY_BOTH,
            Aspect.NOTIFICATIONS: ("a Critical notified after {Critical told after s} s",),
        },
    ),
    Drill(
        name="clock",
        shows="a client's clock set five minutes ahead, then behind: its data is kept, other clients are not affected",
        requirements=("O1", "P1"),
        procedure=f"{_PROCEDURES}.telemetry:step_clock",
        evidence="client-clock-set",
        seconds=90,
        limit_s=900,
        load=f"{_METRICS}, from a client whose clock is changed and from one whose clock is correct",
        fault="a client's clock set ahead, behind and correct again",
        figures={
            Aspect.FAULT: ("{step s} s ahead, {step s} s behind, correct again",),
            Aspect.RTO: (
                "longest pause of the client {longest pause of the client s} s, of the other client "
                "{longest pause of the neighbour s} s",
            ),
            Aspect.RPO: (
                "{client missing} of {client acknowledged} acknowledged points missing",
                "{neighbour missing} of the other client's {neighbour acknowledged}",
            ),
        },
    ),
    Drill(
        name="gateway",
        shows="one of two gateways killed: clients continue, no acknowledged point is lost",
        requirements=("O1",),
        procedure=f"{_PROCEDURES}.telemetry:kill_gateway",
        evidence="gateway-killed",
        seconds=45,
        limit_s=480,
        load=_METRICS,
        fault="SIGKILL to a gateway",
        figures={
            Aspect.RECOVERY: ("gateway back after {back after s} s",),
            Aspect.RTO: (_AGAIN,),
            Aspect.RPO: (_LOST,),
        },
    ),
    Drill(
        name="gateway-drain",
        shows="a gateway terminated while Kafka is unavailable: it drains its disk queue first, and nothing is lost",
        requirements=("O1", "S1"),
        procedure=f"{_PROCEDURES}.drain:end_gateway",
        evidence="gateway-drained",
        seconds=110,
        limit_s=1500,
        load=_METRICS,
        fault="all brokers frozen, a gateway with a non-empty disk queue deleted, the brokers resumed",
        figures={
            Aspect.FAULT: (
                "Kafka unavailable for {Kafka away s} s, {of it after the gateway was told s} s of it after the "
                "gateway began to terminate",
                "{bytes on disk when told to end} bytes on its disk at that time",
            ),
            Aspect.RECOVERY: (
                "it terminated after {ended after s} s, limit {it may take s} s",
                "gateway back after {gateway back after s} s",
            ),
            Aspect.RTO: (
                "{accepted meanwhile} points accepted during the outage",
                _AGAIN,
            ),
            Aspect.RPO: (
                "{gateway missing} of {gateway acknowledged} acknowledged points missing, {doubled} arrived twice",
                "{bytes left behind} bytes left on its disk",
            ),
        },
    ),
    Drill(
        name="consumer",
        shows="the consumer that feeds a Prometheus killed: it resumes where it stopped",
        requirements=("O5",),
        procedure=f"{_PROCEDURES}.telemetry:kill_consumer",
        evidence="consumer-killed",
        seconds=45,
        limit_s=480,
        load=_METRICS,
        fault="SIGKILL to a metrics consumer",
        figures={
            Aspect.RECOVERY: ("consumer back after {back after s} s", "caught up after {caught up after s} s"),
            Aspect.RPO: ("{prometheus-primary missing} of {prometheus-primary acknowledged} points missing",),
        },
    ),
    Drill(
        name="prometheus",
        shows="the primary Prometheus down: no query fails, and it catches up without a gap",
        requirements=("P1",),
        procedure=f"{_PROCEDURES}.telemetry:stop_primary_prometheus",
        evidence="prometheus-primary-down",
        seconds=190,
        limit_s=1020,
        load="a marker and a query at the read address each second",
        fault="the primary Prometheus stopped",
        figures={
            Aspect.FAULT: ("down for {down s} s",),
            Aspect.RECOVERY: ("back after {primary back after s} s, caught up after {caught up after s} s",),
            Aspect.RTO: ("{failed queries} of {queries} queries at the read address failed",),
            Aspect.RPO: ("{missing} of {markers} markers missing, {gaps} gaps",),
            Aspect.DASHBOARDS: ("{failed queries} of {queries} queries at the read address failed",),
        },
    ),
)
_LOGS = "numbered log records and traces through the gateway"

TRACES: tuple[Drill, ...] = (
    Drill(
        name="jaeger",
        shows="a Jaeger collector killed: at most one bulk request of spans is lost",
        requirements=("J1",),
        procedure=f"{_PROCEDURES}.telemetry:kill_jaeger_collector",
        evidence="jaeger-collector-killed",
        seconds=60,
        limit_s=480,
        load="numbered traces through the gateway",
        fault="SIGKILL to a collector",
        figures={
            Aspect.RECOVERY: ("collectors back after {collectors back after s} s",),
            Aspect.RPO: (
                "{spans lost} of {spans acknowledged} spans lost (bound {bound}), {spans stored twice} stored twice",
            ),
        },
    ),
    Drill(
        name="sampler",
        shows="a sampler killed: only traces that awaited their sampling decision are lost",
        requirements=("O4",),
        procedure=f"{_PROCEDURES}.telemetry:kill_sampler",
        evidence="sampler-killed",
        seconds=75,
        limit_s=480,
        load="numbered traces through the gateway",
        fault="SIGKILL to a sampler",
        figures={
            Aspect.RECOVERY: ("samplers back after {samplers back after s} s",),
            Aspect.RPO: (
                "{spans lost} of {spans acknowledged} spans lost",
                "{traces lost} traces (bound {bound (traces sent in the window, of all samplers)})",
                "sent {lost traces were sent before the kill, s} s before the kill",
            ),
        },
    ),
    Drill(
        name="log-indexer",
        shows="a log indexer killed: no log record is lost or duplicated",
        requirements=("O5",),
        procedure=f"{_PROCEDURES}.telemetry:kill_indexer",
        evidence="log-indexer-killed",
        seconds=75,
        limit_s=480,
        load="numbered log records through the gateway",
        fault="SIGKILL to a log indexer",
        figures={
            Aspect.RECOVERY: ("back after {indexers back after s} s, caught up after {caught up after s} s",),
            Aspect.RPO: (
                "{log records missing} of {log records acknowledged} log records missing",
                "{log records doubled} duplicated",
            ),
        },
    ),
    Drill(
        name="agent",
        shows="the agent of a node killed: no acknowledged log record is lost",
        requirements=("O5",),
        procedure=f"{_PROCEDURES}.telemetry:kill_agent",
        evidence="agent-killed",
        seconds=45,
        limit_s=480,
        load="numbered log records to the agent",
        fault="SIGKILL to the agent",
        figures={
            Aspect.RECOVERY: ("agents back after {agents back after s} s",),
            Aspect.RTO: ("longest pause of a sender {longest pause of a sender s} s",),
            Aspect.RPO: (
                "{log records missing} of {log records acknowledged} log records missing",
                "{log records doubled} duplicated",
            ),
        },
    ),
    Drill(
        name="search-node",
        shows="a search node killed: every query is answered, no log record is lost",
        requirements=("J1",),
        procedure=f"{_PROCEDURES}.telemetry:kill_search_node",
        evidence="search-node-killed",
        seconds=120,
        limit_s=660,
        load=f"{_LOGS}; queries of both",
        fault="SIGKILL to one of three nodes",
        figures={
            Aspect.RECOVERY: (
                "node back after {node back after s} s",
                "all replicas restored after {every copy again after s} s",
            ),
            Aspect.RTO: ("slowest trace query {traces: slowest answer s} s, log query {logs: slowest answer s} s",),
            Aspect.RPO: (
                "{log records missing} of {log records acknowledged} log records missing",
                "{spans lost} of {spans acknowledged} spans lost",
            ),
            Aspect.DASHBOARDS: (
                "{traces: questions without an answer} of {questions about traces} trace queries without an answer",
                "{logs: questions without an answer} of {questions about logs} log queries",
            ),
        },
    ),
)
