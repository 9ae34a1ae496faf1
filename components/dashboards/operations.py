"""Operations (requirement G4): what the platform itself uses, how well it answers, and what Kubernetes knows: do pods
run and stay up, are nodes well, are volumes full?

Where a stack does not watch them, it shows zeros.

Processes report themselves, Kubernetes tells the state of pods and nodes, and node agents what the kernel counts of
their node. Search nodes and login proxies tell no processor time: of search nodes the heap and the disk are seen.
"""

from __future__ import annotations

from components.dashboards import limits
from components.dashboards.model import RATE, Dashboard, Query, Row, bars, series, stat, table
from components.dashboards.operations_nodes import NODES
from components.dashboards.operations_queries import PROMETHEUS
from components.dashboards.recovery import SUMMARY

_JOB = 'job="cluster-state"'


def _pods(phase: str) -> str:
    return f'sum(kube_pod_status_phase{{{_JOB},phase="{phase}"}}) or vector(0)'


def _nodes(condition: str, status: int) -> str:
    """Number of nodes of which a condition is true (1) or not (0)."""
    selector = f'{_JOB},condition=~"{condition}",status="true"'
    return f"count(count by (node) (kube_node_status_condition{{{selector}}} == {status})) or vector(0)"


def _replicas(count: str) -> str:
    return f"max by (horizontalpodautoscaler) (kube_horizontalpodautoscaler_{count}_replicas{{{_JOB}}})"


_POD = "(.*?)(-[0-9]+|(-[0-9a-z]{8,10})?-[0-9a-z]{5})"
"""Name of a workload, and what Kubernetes adds to it for a pod of a StatefulSet, a Deployment or a DaemonSet."""


def _sizes(metric: str, resource: str, label: str, pattern: str) -> str:
    """What each container of a workload has; ``pattern`` finds the workload's name in ``label``."""
    selected = f'{metric}{{{_JOB},resource="{resource}"}}'
    named = f'label_replace({selected}, "workload", "$1", "{label}", "{pattern}")'
    return f"max by (workload, container) ({named}) or on () vector(0)"


def _requested(resource: str) -> str:
    return _sizes("kube_pod_container_resource_requests", resource, "pod", _POD)


def _recommended(resource: str) -> str:
    name = "kube_verticalpodautoscaler_status_recommendation_containerrecommendations_target"
    return _sizes(name, resource, "target_name", "(.*)")


RESTARTS = stat(
    "Restarts",
    "Times that Kubernetes started a container again, in the last hour.",
    "{restart}",
    Query(
        expr=f"sum(changes(kube_pod_container_status_restarts_total{{{_JOB}}}[1h])) or vector(0)", legend="last hour"
    ),
)
"""For the first row of the dashboard of operations."""

CLUSTER = Row(
    title="Pods, nodes and volumes, as Kubernetes knows them",
    panels=(
        stat(
            "Pods",
            "Pods of the platform that run, and that wait to run: no node has room, or a volume or an image is not "
            "there.",
            "{pod}",
            Query(expr=_pods("Running"), legend="run"),
            Query(expr=_pods("Pending"), legend="wait"),
            width=8,
        ),
        stat(
            "Nodes that are not well",
            "Nodes that are not ready, and those that run out of memory, disk or process numbers.",
            "{node}",
            Query(expr=_nodes("Ready", 0), legend="not ready"),
            Query(expr=_nodes(".+Pressure", 1), legend="under pressure"),
            limits=limits.at_most("not well"),
            width=8,
        ),
        stat(
            "Failed runs of jobs",
            "Runs of reports and backups that failed, as long as Kubernetes keeps them.",
            "{run}",
            Query(expr=f'sum(kube_job_failed{{{_JOB},condition="true"}}) or vector(0)', legend="failed"),
            width=8,
        ),
        series(
            "Volumes, as kubelets measure them",
            "Used share of the file system of each volume, and of its inodes: each file takes one. Volumes that are "
            "folders of one disk have the same.",
            "1",
            Query(
                expr="max by (persistentvolumeclaim) (obs:volume_used:ratio) or on () vector(0)",
                legend="{{persistentvolumeclaim}}",
            ),
            Query(
                expr="max by (persistentvolumeclaim) (obs:volume_inodes_used:ratio) or on () vector(0)",
                legend="{{persistentvolumeclaim}} inodes",
            ),
            limits=limits.platform("VolumeFilling"),
            width=24,
        ),
        series(
            "Containers that wait",
            "Containers that do not run, by the reason that Kubernetes gives.",
            "{container}",
            Query(
                expr=f"sum by (reason) (kube_pod_container_status_waiting_reason{{{_JOB}}}) or on () vector(0)",
                legend="{{reason}}",
            ),
            width=12,
        ),
        series(
            "Pods of what is scaled",
            "Pods of each workload with an autoscaler, as a share of what it may have.",
            "1",
            Query(
                expr=f"{_replicas('status_current')} / {_replicas('spec_max')} or on () vector(0)",
                legend="{{horizontalpodautoscaler}}",
            ),
            width=12,
        ),
        table(
            "Recommended sizes",
            "What each container requests of its node, and what the vertical autoscaler recommends from its use, "
            "largest first. Sizes are changed in the profile, by people: see 'ops scale plan'.",
            {"workload": "Workload", "container": "Container"},
            Query(expr=_recommended("memory"), legend="Memory recommended", unit="By"),
            Query(expr=_requested("memory"), legend="Memory requested", unit="By"),
            Query(expr=_recommended("cpu"), legend="Cores recommended", unit="{core}"),
            Query(expr=_requested("cpu"), legend="Cores requested", unit="{core}"),
            width=24,
            top=20,
        ),
    ),
)
"""For the dashboard of operations."""


_CPU = " or ".join(
    f"sum by (job) (rate({source}_cpu_seconds_total[{RATE}]))" for source in ("process", "otelcol_process")
)
_MEMORY = "sum by (job) (process_resident_memory_bytes) or sum by (job) (otelcol_process_memory_rss_bytes)"
_COLLECTORS = "count by (job) (otelcol_process_uptime_seconds_total)"

_NOW = Row(
    title="Now",
    panels=(
        stat(
            "Targets that answer",
            "Targets that Prometheus reached at its last try, and all of them.",
            "{target}",
            Query(expr="sum(up)", legend="answer"),
            Query(expr="count(up)", legend="all"),
        ),
        stat(
            "Processors in use",
            "Processor time that all reporting processes use together, in processors.",
            "{processor}",
            Query(
                expr="sum(rate(process_cpu_seconds_total[5m])) + sum(rate(otelcol_process_cpu_seconds_total[5m]))",
                legend="in use",
            ),
        ),
        stat(
            "Memory in use",
            "Resident memory of all reporting processes.",
            "By",
            Query(expr="sum(process_resident_memory_bytes) + sum(otelcol_process_memory_rss_bytes)", legend="in use"),
        ),
        stat(
            "Fullest disk",
            "Used share of the fullest volume of Kafka, Prometheus, the search cluster and PostgreSQL.",
            "1",
            Query(
                expr="max(obs:kafka_disk_used:ratio or obs:prometheus_disk_used:ratio or search_node_disk_used_ratio"
                " or obs:postgres_disk_used:ratio)",
                legend="used",
            ),
            limits=limits.platform("KafkaDiskFilling", "KafkaDiskFull"),
        ),
        stat(
            "Next certificate ends",
            "Time until the first certificate ends of all that are probed.",
            "s",
            Query(expr="min(probe_ssl_earliest_cert_expiry) - time()", legend="left"),
        ),
        RESTARTS,
    ),
)

_RESOURCES = Row(
    title="Processor, memory, disk, network",
    panels=(
        series(
            "Processor time by workload",
            "In processors; all pods of a workload together.",
            "{processor}",
            Query(expr=_CPU, legend="{{job}}"),
            width=12,
            height=10,
        ),
        series(
            "Memory by workload",
            "Resident memory; all pods of a workload together.",
            "By",
            Query(expr=_MEMORY, legend="{{job}}"),
            width=12,
            height=10,
        ),
        table(
            "Workloads",
            "Pods, processor time, memory and open files of every workload that reports them.",
            {"job": "Workload"},
            Query(
                expr=f"count by (job) (process_start_time_seconds) or {_COLLECTORS}",
                legend="Processes",
            ),
            Query(expr=_CPU.replace(RATE, "5m"), legend="Processors", unit="{processor}"),
            Query(expr=_MEMORY, legend="Memory", unit="By"),
            Query(expr="max by (job) (process_open_fds / process_max_fds)", legend="Open files of the limit", unit="1"),
            width=16,
            height=12,
        ),
        bars(
            "Disks",
            "Used share of each volume.",
            "1",
            Query(expr="max by (instance) (obs:kafka_disk_used:ratio)", legend="{{instance}}"),
            Query(expr="max by (job) (obs:prometheus_disk_used:ratio)", legend="{{job}}"),
            Query(expr="max by (node) (search_node_disk_used_ratio)", legend="{{node}}"),
            Query(expr="max by (instance) (obs:postgres_disk_used:ratio)", legend="{{instance}}"),
            limits=limits.platform("KafkaDiskFilling", "KafkaDiskFull"),
            width=8,
            height=12,
        ),
        series(
            "Network of the stores of metrics and of alerting",
            "Received and sent by each workload that reports it.",
            "By/s",
            Query(expr=f"sum by (job) (rate(process_network_receive_bytes_total[{RATE}]))", legend="{{job}} in"),
            Query(expr=f"sum by (job) (rate(process_network_transmit_bytes_total[{RATE}]))", legend="{{job}} out"),
            width=24,
        ),
    ),
)

_KAFKA = Row(
    title="Kafka",
    panels=(
        stat(
            "Brokers",
            "Brokers that answer.",
            "{broker}",
            Query(expr='sum(up{job="kafka"})', legend="answer"),
            width=8,
        ),
        stat(
            "Under-replicated partitions",
            "Partitions that lack an in-sync copy.",
            "{partition}",
            Query(expr="sum(kafka_server_replicamanager_underreplicatedpartitions)", legend="partitions"),
            width=8,
        ),
        stat(
            "Consumers behind",
            "Records that the slowest consumer group has not read yet.",
            "{record}",
            Query(expr="max(obs:consumer_lag:sum)", legend="records"),
            limits=limits.platform("KafkaConsumerLag"),
            width=8,
        ),
        series(
            "Consumer lag",
            "Records that each consumer group has not read yet.",
            "{record}",
            Query(expr="sum by (consumergroup) (obs:consumer_lag:sum)", legend="{{consumergroup}}"),
            limits=limits.platform("KafkaConsumerLag"),
        ),
        series(
            "Disk of Kafka by topic",
            "Bytes of all copies on all brokers.",
            "By",
            Query(expr="sum by (topic) (kafka_log_size_bytes)", legend="{{topic}}"),
            stacked=True,
        ),
        series(
            "Network of Kafka",
            "What brokers take from producers, hand to consumers, and copy to each other.",
            "By/s",
            Query(expr=f'sum(rate(kafka_server_brokertopicmetrics_bytesin_total{{topic=""}}[{RATE}]))', legend="in"),
            Query(expr=f'sum(rate(kafka_server_brokertopicmetrics_bytesout_total{{topic=""}}[{RATE}]))', legend="out"),
            Query(expr=f"sum(rate(kafka_server_brokertopicmetrics_replicationbytesin_total[{RATE}]))", legend="copies"),
        ),
    ),
)


def _refused(metric: str, job: str, labels: str) -> str:
    """Refusals per second; nothing refused is zero, not no data."""
    return f'sum by ({labels}) (rate({metric}{{job="{job}"}}[{RATE}])) or on () 0 * sum(up{{job="{job}"}})'


_GATEWAY = Row(
    title="Gateway and node agents",
    panels=(
        series(
            "Telemetry accepted",
            "Points, spans and log records per second that the gateways took.",
            "{item}/s",
            Query(expr="sum by (signal) (obs:gateway_accepted:rate1m)", legend="{{signal}}"),
            width=12,
        ),
        series(
            "Connections of gRPC",
            "Open connections of each gateway, and how many it allows; more are closed before their handshake.",
            "{connection}",
            Query(
                expr='sum by (instance) (otelcol_login_connections{job="gateway",kind="open"})', legend="{{instance}}"
            ),
            Query(expr='max(otelcol_login_connections{job="gateway",kind="allowed"})', legend="allowed of each"),
            width=12,
        ),
        series(
            "Sent with a password of before",
            "Requests per second with the former of a layer's two passwords, while new ones are handed out "
            "(`ops gateway rotate-passwords`).",
            "{request}/s",
            Query(
                expr="sum by (layer) (rate(otelcol_login_former_password_requests_total"
                '{job=~"gateway|otel-agent"}[5m])) or vector(0)',
                legend="{{layer}}",
            ),
            width=24,
        ),
        series(
            "Refused before anything was decoded",
            "Requests and connections per second that the gateways refused for their login, their number or their "
            "shape.",
            "{request}/s",
            Query(
                expr=_refused("otelcol_login_refused_requests_total", "gateway", "reason"),
                legend="{{reason}}",
            ),
            width=8,
        ),
        series(
            "Refused by the gate",
            "Points, spans and log records per second that the catalogue, a budget or masking did not let through.",
            "{item}/s",
            Query(expr=_refused("otelcol_gate_refused_items_total", "gateway", "reason"), legend="{{reason}}"),
            width=8,
        ),
        series(
            "Refused by node agents",
            "Points, spans and log records per second that named another layer than the one that signed in.",
            "{item}/s",
            Query(
                expr=_refused("otelcol_attribution_refused_items_total", "otel-agent", "layer, signal"),
                legend="{{layer}}: {{signal}}",
            ),
            width=8,
        ),
    ),
)

_TARGETS = Row(
    title="What answers",
    panels=(
        table(
            "Targets by job",
            "Targets of each scrape job: how many answer, of how many, and how long a scrape takes.",
            {"job": "Job"},
            Query(expr="sum by (job) (up)", legend="Answer"),
            Query(expr="count by (job) (up)", legend="Targets"),
            Query(expr="max by (job) (scrape_duration_seconds)", legend="Slowest scrape", unit="s"),
            width=12,
            height=12,
        ),
        series(
            "Age of each layer's telemetry",
            "Time since the newest sample of each layer.",
            "s",
            Query(expr="obs:layer_age:seconds", legend="{{layer}}"),
            limits=limits.platform("TelemetryStale"),
            width=12,
            height=12,
        ),
    ),
)

_AUDIT = Row(
    title="Audit log",
    panels=(
        stat(
            "Refused in the last hour",
            "Records of refused accesses, by source; one record may stand for many equal ones.",
            "{access}",
            Query(
                expr='round(sum by (source) (increase(audit_records_total{outcome="refused"}[1h])))',
                legend="{{source}}",
            ),
            width=8,
        ),
        stat(
            "Sources that are not read",
            "Logs that are to be followed and are not, by source.",
            "{stream}",
            Query(
                expr="sum by (source) (audit_expected_streams) - sum by (source) (audit_open_streams)",
                legend="{{source}}",
            ),
            width=8,
        ),
        stat(
            "Gaps in the last day",
            "Times that a source could not be read without a gap, and lines that could not be understood.",
            "{gap}",
            Query(
                expr="round(sum by (source) (increase(audit_gaps_total[1d]) + increase(audit_unreadable_total[1d])))",
                legend="{{source}}",
            ),
            width=8,
        ),
        series(
            "Accesses told",
            "Records of the audit log per second, by source and outcome.",
            "{record}/s",
            Query(
                expr=f"sum by (source, outcome) (rate(audit_records_total[{RATE}]))",
                legend="{{source}}: {{outcome}}",
            ),
            width=24,
        ),
    ),
)

DASHBOARD = Dashboard(
    name="operations",
    title="Operations",
    description="What the platform uses (processor, memory, disk, network), the state of its pods and nodes, how busy "
    "the nodes are, what gateways refuse, Kafka's health, how fast queries are answered, how old the backups are, and "
    "what the audit log tells.",
    tags=("operations",),
    rows=(_NOW, CLUSTER, NODES, _RESOURCES, _GATEWAY, _KAFKA, PROMETHEUS, SUMMARY, _TARGETS, _AUDIT),
)
"""For those who run the platform."""
