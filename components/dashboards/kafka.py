"""Kafka: is every record safe, what flows, and does every consumer keep up? (requirements K1 to K6, G4)"""

from __future__ import annotations

from components.dashboards import limits
from components.dashboards.model import RATE, Dashboard, Panel, Query, Row, bars, series, stat, table

_BROKER = 'job="kafka"'
_TOPIC = 'topic!=""'
_METRICS = "kafka_server_brokertopicmetrics"


def _safe(title: str, about: str, expr: str, unit: str = "{partition}") -> Panel:
    return stat(title, about, unit, Query(expr=expr, legend="now"), width=4)


_SAFETY = Row(
    title="Safety",
    panels=(
        _safe("Brokers", "Brokers that answer.", f"sum(up{{{_BROKER}}})", "{broker}"),
        _safe(
            "Active controllers",
            "Exactly one is right.",
            "sum(kafka_controller_kafkacontroller_activecontrollercount)",
            "{controller}",
        ),
        _safe(
            "Partitions without a leader",
            "Nothing can be written to them or read from them.",
            "max(kafka_controller_kafkacontroller_offlinepartitionscount)",
        ),
        _safe(
            "Partitions that refuse writes",
            "Partitions with fewer in-sync copies than a write needs.",
            "sum(kafka_server_replicamanager_underminisrpartitioncount)",
        ),
        _safe(
            "Under-replicated partitions",
            "Partitions that lack an in-sync copy.",
            "sum(kafka_server_replicamanager_underreplicatedpartitions)",
        ),
        _safe(
            "Shrunk in-sync sets",
            "How often a copy fell out of an in-sync set in the last hour.",
            "round(sum(increase(kafka_server_replicamanager_isrshrinks_total[1h])))",
            "{change}",
        ),
        table(
            "Topics",
            "Partitions, copies and the smallest in-sync set of each topic, with its records and bytes per second.",
            {"topic": "Topic"},
            Query(expr="max by (topic) (kafka_topic_partitions)", legend="Partitions"),
            Query(expr="max by (topic) (kafka_topic_replicas)", legend="Copies of all partitions"),
            Query(expr="max by (topic) (kafka_topic_in_sync_replicas_min)", legend="Smallest in-sync set"),
            Query(
                expr=f"sum by (topic) (rate({_METRICS}_messagesin_total{{{_TOPIC}}}[5m]))",
                legend="Records",
                unit="{record}/s",
            ),
            Query(expr=f"sum by (topic) (rate({_METRICS}_bytesin_total{{{_TOPIC}}}[5m]))", legend="Bytes", unit="By/s"),
            Query(expr="sum by (topic) (kafka_log_size_bytes)", legend="On disk", unit="By"),
            width=16,
            height=9,
        ),
        bars(
            "Disk",
            "Used share of each broker's volume. A broker whose volume is full stops.",
            "1",
            Query(expr="max by (instance) (obs:kafka_disk_used:ratio)", legend="{{instance}}"),
            limits=limits.platform("KafkaDiskFilling", "KafkaDiskFull"),
            width=8,
            height=9,
        ),
    ),
)

_FLOW = Row(
    title="Flow",
    panels=(
        series(
            "Records in",
            "Records per second by topic.",
            "{record}/s",
            Query(expr=f"sum by (topic) (rate({_METRICS}_messagesin_total{{{_TOPIC}}}[{RATE}]))", legend="{{topic}}"),
            stacked=True,
        ),
        series(
            "Bytes in",
            "Compressed bytes per second from producers, by topic.",
            "By/s",
            Query(expr=f"sum by (topic) (rate({_METRICS}_bytesin_total{{{_TOPIC}}}[{RATE}]))", legend="{{topic}}"),
            stacked=True,
        ),
        series(
            "Bytes out",
            "Compressed bytes per second to consumers, by topic.",
            "By/s",
            Query(expr=f"sum by (topic) (rate({_METRICS}_bytesout_total{{{_TOPIC}}}[{RATE}]))", legend="{{topic}}"),
            stacked=True,
        ),
        series(
            "Time of requests",
            "P99 of the whole time that brokers take for a request, waiting for copies included. Fetches wait for "
            "records on purpose and are left out.",
            "ms",
            Query(
                expr="max by (request) (kafka_network_request_time_milliseconds"
                '{statistic="99thPercentile",request!~"Fetch.*"})',
                legend="{{request}}",
            ),
        ),
        series(
            "Requests that failed",
            "Produce and fetch requests per second that brokers refused.",
            "{request}/s",
            Query(expr=f"sum(rate({_METRICS}_failedproducerequests_total[{RATE}]))", legend="produce"),
            Query(expr=f"sum(rate({_METRICS}_failedfetchrequests_total[{RATE}]))", legend="fetch"),
        ),
        series(
            "Idle time",
            "Share of time in which the threads that handle requests, and those of the network, have nothing to do. "
            "Under a third, brokers need more processor time.",
            "1",
            Query(
                expr="min(kafka_server_requesthandlerpool_brokerrequesthandleravgidlepercent)",
                legend="request handlers",
            ),
            Query(expr="min(kafka_network_socketserver_networkprocessoravgidlepercent)", legend="network"),
        ),
    ),
)

_CONSUMERS = Row(
    title="Producers and consumers",
    panels=(
        series(
            "Consumer lag",
            "Records that each group has not read yet.",
            "{record}",
            Query(expr="obs:consumer_lag:sum", legend="{{consumergroup}}"),
            limits=limits.platform("KafkaConsumerLag"),
        ),
        series(
            "Gateways wait for Kafka",
            "Fill of the gateways' queues on disk, for while Kafka is away; clients are refused when one is full.",
            "1",
            Query(expr="max by (exporter) (obs:gateway_queue:ratio)", legend="{{exporter}}"),
            limits=limits.platform("GatewayQueueFilling", "GatewayQueueFull"),
        ),
        series(
            "Left on volumes of gateways that are gone",
            "What clients were told is safe and Kafka does not have yet. It follows when the pod is back. 0 is right.",
            "By",
            Query(expr="max by (instance) (obs:gateway_left_behind:bytes) or on () vector(0)", legend="{{instance}}"),
        ),
        series(
            "Writes of the gateways",
            "P95 of the time in which Kafka acknowledged a write with all in-sync copies.",
            "s",
            Query(
                expr="histogram_quantile(0.95, sum by (topic, le) "
                "(rate(otelcol_kafkabuckets_write_latency_seconds_bucket[5m])))",
                legend="{{topic}}",
            ),
        ),
        series(
            "Written to the gateways' disks",
            "Points, spans and log records per second that go to the queue on disk, because Kafka does not answer.",
            "{item}/s",
            Query(expr=f"sum by (topic) (rate(otelcol_kafkabuckets_spilled_items_total[{RATE}]))", legend="{{topic}}"),
        ),
        series(
            "Filling of records",
            "Mean size of the records that the gateways write. Small ones cost brokers and consumers much.",
            "By",
            Query(
                expr=f"sum by (topic) (rate(otelcol_kafkabuckets_record_bytes_sum[{RATE}]))"
                f" / sum by (topic) (rate(otelcol_kafkabuckets_record_bytes_count[{RATE}]))",
                legend="{{topic}}",
            ),
        ),
        series(
            "Bytes of each user",
            "Bytes per second that each user writes and reads at the broker where it moves most.",
            "By/s",
            Query(
                expr='max by (user) (kafka_server_quota_bytes_per_second{quota="Produce"})', legend="{{user}} writes"
            ),
            Query(expr='max by (user) (kafka_server_quota_bytes_per_second{quota="Fetch"})', legend="{{user}} reads"),
        ),
        series(
            "Threads of each user",
            "Threads that requests of each user keep busy at the broker where they keep most.",
            "{thread}",
            Query(expr="max by (user) (kafka_server_quota_request_percent) / 100", legend="{{user}}"),
        ),
        series(
            "Delays by quotas",
            "Mean time by which brokers delay answers to a user that takes more than its quota. 0 is right.",
            "ms",
            Query(
                expr="max by (user, quota) (kafka_server_quota_throttle_milliseconds > 0) or on () vector(0)",
                legend="{{user}} {{quota}}",
            ),
        ),
        table(
            "Consumer groups",
            "Members of each group, how far it is behind, and how fast it reads.",
            {"consumergroup": "Group"},
            Query(expr="max by (consumergroup) (kafka_consumergroup_members)", legend="Members"),
            Query(expr="sum by (consumergroup) (obs:consumer_lag:sum)", legend="Behind", unit="{record}"),
            Query(
                expr="sum by (consumergroup) (rate(kafka_consumergroup_current_offset[5m]))",
                legend="Reads",
                unit="{record}/s",
            ),
            width=12,
        ),
        series(
            "Memory of the brokers",
            "Used heap of each broker, and the largest that it may have.",
            "By",
            Query(expr='max by (instance) (jvm_memory_used_bytes{area="heap",job="kafka"})', legend="{{instance}}"),
            Query(expr='max(jvm_memory_max_bytes{area="heap",job="kafka"})', legend="limit"),
            width=6,
        ),
        series(
            "Garbage collection",
            "Share of time that each broker stands still for it.",
            "1",
            Query(
                expr='sum by (instance) (rate(jvm_gc_collection_seconds_sum{job="kafka"}[5m]))', legend="{{instance}}"
            ),
            width=6,
        ),
    ),
)

DASHBOARD = Dashboard(
    name="kafka",
    title="Kafka",
    description="Is every record safe, what flows, how much room is left, and does every consumer keep up?",
    tags=("kafka", "operations"),
    rows=(_SAFETY, _FLOW, _CONSUMERS),
)
"""For those who run Kafka."""
