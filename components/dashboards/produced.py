"""Series that dashboards may ask for: those of the catalogue, and of each part of the platform the ones listed here.

Series of recording rules are not listed: the rules say them (``stacks.rules``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from components.telemetry.catalogue import METRICS

BY_PART: Final[Mapping[str, tuple[str, ...]]] = {
    "Prometheus, about every target": ("up", "scrape_duration_seconds"),
    "Prometheus, about alerts": ("ALERTS", "ALERTS_FOR_STATE"),
    "Prometheus": (
        "prometheus_notifications_alertmanagers_discovered",
        "prometheus_notifications_dropped_total",
        "prometheus_notifications_latency_histogram_seconds_bucket",
        "prometheus_notifications_sent_total",
        "prometheus_rule_group_interval_seconds",
        "prometheus_rule_group_iterations_missed_total",
        "prometheus_rule_group_last_duration_seconds",
        "prometheus_tsdb_head_samples_appended_total",
        "prometheus_tsdb_head_series",
    ),
    "Prometheus and Thanos Query": (
        "prometheus_engine_query_duration_seconds",
        "prometheus_engine_query_duration_seconds_count",
    ),
    "Thanos Query": ("http_request_duration_seconds_bucket",),
    "Alertmanager": (
        "alertmanager_cluster_members",
        "alertmanager_cluster_messages_received_total",
        "alertmanager_notification_latency_seconds_bucket",
        "alertmanager_notification_latency_seconds_count",
        "alertmanager_notification_latency_seconds_sum",
        "alertmanager_notifications_failed_total",
        "alertmanager_notifications_total",
        "alertmanager_silences",
    ),
    "alert events": ("alert_events_written_total",),
    "Kafka": (
        "jvm_gc_collection_seconds_sum",
        "jvm_memory_max_bytes",
        "jvm_memory_used_bytes",
        "kafka_controller_kafkacontroller_activecontrollercount",
        "kafka_controller_kafkacontroller_offlinepartitionscount",
        "kafka_log_size_bytes",
        "kafka_network_request_time_milliseconds",
        "kafka_network_socketserver_networkprocessoravgidlepercent",
        "kafka_server_brokertopicmetrics_bytesin_total",
        "kafka_server_brokertopicmetrics_bytesout_total",
        "kafka_server_brokertopicmetrics_failedfetchrequests_total",
        "kafka_server_brokertopicmetrics_failedproducerequests_total",
        "kafka_server_brokertopicmetrics_messagesin_total",
        "kafka_server_brokertopicmetrics_replicationbytesin_total",
        "kafka_server_replicamanager_isrshrinks_total",
        "kafka_server_replicamanager_underminisrpartitioncount",
        "kafka_server_replicamanager_underreplicatedpartitions",
        "kafka_server_requesthandlerpool_brokerrequesthandleravgidlepercent",
    ),
    "consumer lag": (
        "kafka_consumergroup_current_offset",
        "kafka_consumergroup_members",
        "kafka_topic_in_sync_replicas_min",
        "kafka_topic_partitions",
        "kafka_topic_replicas",
    ),
    "collectors": (
        "otelcol_process_cpu_seconds_total",
        "otelcol_process_memory_rss_bytes",
        "otelcol_process_uptime_seconds_total",
    ),
    "gateway": ("otelcol_kafka_exporter_latency_milliseconds_bucket", "otelcol_processor_incoming_items_total"),
    "gateway, sampler, Jaeger's collectors": (
        "otelcol_exporter_sent_spans_total",
        "otelcol_receiver_accepted_spans_total",
    ),
    "sampler": (
        "otelcol_processor_tail_sampling_count_traces_sampled_total",
        "otelcol_processor_tail_sampling_sampling_trace_dropped_too_early_total",
        "otelcol_processor_tail_sampling_sampling_traces_on_memory",
        "traces_span_metrics_calls_total",
        "traces_span_metrics_duration_seconds_bucket",
        "traces_span_metrics_duration_seconds_sum",
    ),
    "service graph": (
        "traces_service_graph_request_failed_total",
        "traces_service_graph_request_server_seconds_bucket",
        "traces_service_graph_request_total",
    ),
    "Jaeger's collectors": (
        "jaeger_storage_bulk_index_latency_ok_seconds_count",
        "jaeger_storage_bulk_index_latency_ok_seconds_sum",
    ),
    "index keeper": (
        "search_family_bytes",
        "search_family_documents",
        "search_family_keep_seconds",
        "search_family_oldest_age_seconds",
        "search_node_disk_used_ratio",
        "search_node_heap_used_ratio",
    ),
    "probes": ("probe_ssl_earliest_cert_expiry",),
    "every process but the collectors": (
        "process_cpu_seconds_total",
        "process_max_fds",
        "process_open_fds",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
    ),
    "Prometheus, Thanos, Alertmanager, probes": (
        "process_network_receive_bytes_total",
        "process_network_transmit_bytes_total",
    ),
}
"""Part of the platform -> series that dashboards ask of it."""

SERIES: Final[frozenset[str]] = frozenset(name for names in BY_PART.values() for name in names) | frozenset(
    name for metric in METRICS for name in metric.series
)
"""All of them, those of the catalogue included."""
