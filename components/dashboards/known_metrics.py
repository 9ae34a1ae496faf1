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
    "Thanos Query": (
        "http_request_duration_seconds_bucket",
        "http_request_duration_seconds_count",
        "http_request_duration_seconds_sum",
    ),
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
    "Grafana": (
        "grafana_authn_authn_failed_login_total",
        "grafana_authn_authn_successful_login_total",
        "grafana_database_conn_in_use",
        "grafana_database_conn_max_open",
        "grafana_datasource_request_duration_seconds_bucket",
        "grafana_datasource_request_total",
        "grafana_http_request_duration_seconds_bucket",
        "grafana_http_request_duration_seconds_count",
        "grafana_http_request_in_flight",
        "grafana_stat_active_users",
        "grafana_stat_total_users",
    ),
    "PostgreSQL's exporter": (
        "pg_checksum_failures",
        "pg_database_size_bytes",
        "pg_long_running_transactions_oldest_timestamp_seconds",
        "pg_replication_is_replica",
        "pg_settings_wal_keep_size_bytes",
        "pg_standbys_streaming",
        "pg_standbys_wanted",
        "pg_stat_database_deadlocks",
        "pg_stat_database_numbackends",
        "pg_stat_database_xact_commit",
        "pg_stat_database_xact_rollback",
        "pg_stat_replication_pg_wal_lsn_diff",
        "pg_up",
    ),
    "report server": (
        "report_due_timestamp_seconds",
        "report_last_run_failed",
        "report_last_run_timestamp_seconds",
        "report_newest_period_end_timestamp_seconds",
        "report_newest_timestamp_seconds",
        "report_server_read_timestamp_seconds",
        "report_stored",
    ),
    "backup exporter": (
        "backup_archive_bytes",
        "backup_archive_last_timestamp_seconds",
        "backup_archive_missing_records",
        "backup_archive_segments",
        "backup_damaged_runs",
        "backup_due_timestamp_seconds",
        "backup_last_bytes",
        "backup_last_duration_seconds",
        "backup_last_poll_timestamp_seconds",
        "backup_last_objects",
        "backup_last_success_timestamp_seconds",
        "backup_poll_failed",
        "backup_metrics_due_timestamp_seconds",
        "backup_metrics_last_block_timestamp_seconds",
        "backup_runs",
    ),
    "Kafka archive": (
        "kafka_archive_failed_stores_total",
        "kafka_archive_gap_records_total",
        "kafka_archive_last_stored_timestamp_seconds",
        "kafka_archive_records_total",
        "kafka_archive_stored_objects_total",
        "kafka_archive_waiting_records",
        "kafka_archive_waiting_seconds",
    ),
    "failover agent": (
        "failover_agent_isolated",
        "failover_agent_lease_epoch",
        "failover_agent_lease_read_age_seconds",
        "failover_agent_notifies",
        "failover_agent_peer_age_seconds",
        "failover_agent_peer_differs",
        "failover_agent_peer_notifies",
    ),
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
    "gateway": (
        "otelcol_gate_accepted_items_total",
        "otelcol_gate_refused_items_total",
        "otelcol_kafkabuckets_record_bytes_count",
        "otelcol_kafkabuckets_record_bytes_sum",
        "otelcol_kafkabuckets_spilled_items_total",
        "otelcol_kafkabuckets_write_latency_seconds_bucket",
        "otelcol_login_connections",
        "otelcol_login_refused_requests_total",
    ),
    "node agent": ("otelcol_attribution_refused_items_total",),
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
    "index manager": (
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
