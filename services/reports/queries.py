"""What reports ask and compare, as data: the figures that are watched for anomalies and trends, PromQL (``$range``
stands for the period that is looked at, ``$step`` for a chart's step), and the service level objectives.

Series are named as the platform names them (``components/telemetry``, the components' recording rules, the programs'
own metrics); a test compares. Replicas are one to Thanos Query, so nothing here names them. The rules of
recommendations are in `recommendations`.

``thresholds.yaml`` is read as plain data, as the lab's simulator does: its schema needs parts that the
services' image leaves out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from components.telemetry.catalogue import METRICS, REQUIRED_METRICS, Metric, metric
from components.telemetry.fields import PLATFORM, seconds, spoken
from components.telemetry.file import content, explaining, text
from components.telemetry.layers import LAYER_NAMES
from components.telemetry.naming import Kind as Instrument
from services.reports.model import Text

Better = Literal["higher", "lower", ""]
"""Which way a value should go; empty where neither is better."""


@dataclass(frozen=True, kw_only=True)
class Kpi:
    """A figure that is watched for anomalies and trends.

    Attributes:
        name: Identity; ``kpi.<name>`` are its words. Of a further metric: that metric's name.
        layer: Layer, or ``platform``.
        expr: PromQL of one number.
        unit: UCUM unit.
        better: Which way it should go.
        step: Its own noise: a deviation of less than this is never news.
        further: Whether it comes from ``services`` in ``thresholds.yaml``.
    """

    name: str
    layer: str
    expr: str
    unit: str
    better: Better = ""
    step: float = 0.0
    further: bool = False

    @property
    def mean(self) -> str:
        """PromQL of its mean over ``$step``, looked at every five minutes."""
        return f"avg_over_time(({self.expr})[$step:5m])"


def series_of(name: str) -> str:
    """Series in Prometheus of a metric of the catalogue."""
    return metric(name).prometheus


def _p95(name: str, window: str = "5m", selector: str = "") -> str:
    return f"histogram_quantile(0.95, sum by (le) (rate({series_of(name)}_bucket{selector}[{window}])))"


API = f'{series_of("http.server.request.duration")}_count{{layer="business"}}'
API_ERRORS = f'{series_of("http.server.request.duration")}_count{{layer="business",http_response_status_code=~"5.."}}'
_POOL = "layer, job, db_client_connection_pool_name"
ACCEPTED = "otelcol_gate_accepted_items_total"


def gateway_rate(signal: str) -> str:
    """Items per second of a signal that the gateways took in."""
    return f'sum(rate({ACCEPTED}{{job="gateway",signal="{signal}"}}[5m]))'


def _kpis(layer: str, *rows: tuple[str, str, str, Better, float]) -> tuple[Kpi, ...]:
    return tuple(
        Kpi(name=name, layer=layer, expr=expr, unit=unit, better=better, step=step)
        for name, expr, unit, better, step in rows
    )


_REQUIRED: tuple[Kpi, ...] = (
    *_kpis(
        "device",
        ("devices", f"sum({series_of('device.connected')})", "{device}", "higher", 1),
        ("device-latency", f"quantile(0.95, {series_of('device.network.latency')})", "s", "lower", 0.01),
        ("device-delay", f"quantile(0.95, {series_of('device.delivery.delay')})", "s", "lower", 0.02),
        ("device-quality", f"avg({series_of('device.stream.quality')})", "{MOS}", "higher", 0.1),
        ("device-speech", f"avg({series_of('device.speech_recognition.accuracy')})", "1", "higher", 0.01),
        ("device-battery", f"avg({series_of('hw.battery.charge')})", "1", "higher", 0.05),
    ),
    *_kpis(
        "streaming",
        ("streams", f"sum({series_of('stream.active')})", "{stream}", "", 1),
        ("stream-delay", f"max({series_of('stream.delay')})", "s", "lower", 0.02),
        ("stream-throughput", f"sum({series_of('stream.throughput')})", "By/s", "", 1024),
        ("stream-loss", f"avg({series_of('stream.packet.loss')})", "1", "lower", 0.002),
        ("recordings", f"sum({series_of('recording.active')})", "{recording}", "", 1),
        (
            "recording-failures",
            f"sum(rate({series_of('recording.failures')}[5m])) / sum(rate({series_of('recording.attempts')}[5m]))",
            "1",
            "lower",
            0.002,
        ),
        ("storage", f"max({series_of('system.filesystem.utilization')})", "1", "lower", 0.01),
        ("adls-backlog", f"sum({series_of('adls.transfer.backlog')})", "By", "lower", 1024**2),
    ),
    *_kpis(
        "business",
        ("api-calls", f"sum(rate({API}[5m]))", "{call}/s", "", 0.1),
        ("api-p95", _p95("http.server.request.duration", selector='{layer="business"}'), "s", "lower", 0.02),
        (
            "api-errors",
            f"(sum(rate({API_ERRORS}[5m])) or vector(0)) / sum(rate({API}[5m]))",
            "1",
            "lower",
            0.001,
        ),
        (
            "db-pool",
            f'max(sum by ({_POOL}) ({series_of("db.client.connection.count")}{{db_client_connection_state="used"}})'
            f" / sum by ({_POOL}) ({series_of('db.client.connection.max')}))",
            "1",
            "lower",
            0.02,
        ),
        ("work-events", f"sum(rate({series_of('work_event.processed')}[5m]))", "{event}/s", "", 0.1),
        ("work-event-delay", f"max({series_of('work_event.processing.delay')})", "s", "lower", 1),
    ),
    *_kpis(
        "data",
        (
            "etl-success",
            f'sum(increase({series_of("etl.job.runs")}{{outcome="success"}}[1h]))'
            f" / sum(increase({series_of('etl.job.runs')}[1h]))",
            "1",
            "higher",
            0.01,
        ),
        ("etl-p95", _p95("etl.job.duration", "1h"), "s", "lower", 5),
        ("inconsistencies", f"sum({series_of('consistency.check.inconsistencies')})", "{record}", "lower", 1),
        ("report-delay", f"max({series_of('report.generation.delay')})", "s", "lower", 60),
    ),
    *_kpis(
        "analytics",
        ("sessions", f"sum({series_of('user.session.active')})", "{session}", "", 1),
        ("screen-p95", _p95("screen.display.duration"), "s", "lower", 0.05),
        ("analysis-cpu", f'max({series_of("system.cpu.utilization")}{{layer="analytics"}})', "1", "lower", 0.05),
        ("analysis-queue", f"sum({series_of('analysis.job.queue.length')})", "{job}", "lower", 1),
    ),
    *_kpis(
        PLATFORM,
        ("points", gateway_rate("metrics"), "{point}/s", "", 1),
        ("spans", gateway_rate("traces"), "{span}/s", "", 1),
        ("log-records", gateway_rate("logs"), "{record}/s", "", 1),
        ("consumer-lag", "max(obs:consumer_lag:sum)", "{record}", "lower", 100),
        (
            "query-p95",
            "histogram_quantile(0.95, sum by (le) "
            '(rate(http_request_duration_seconds_bucket{job="thanos-query"}[5m])))',
            "s",
            "lower",
            0.05,
        ),
        ("kafka-disk", "max(obs:kafka_disk_used:ratio)", "1", "lower", 0.01),
    ),
)


def further(metrics: tuple[Metric, ...]) -> tuple[Kpi, ...]:
    """A figure for each metric that was added as data: of what it counts the speed, of times P95, else the mean."""
    derived = []
    for catalogue_metric in metrics:
        selector = f'{{layer="{catalogue_metric.layer.name}",job="{catalogue_metric.service}"}}'
        unit = catalogue_metric.unit
        if catalogue_metric.kind is Instrument.HISTOGRAM:
            series = f"{catalogue_metric.prometheus}_bucket{selector}"
            expr = f"histogram_quantile(0.95, sum by (le) (rate({series}[5m])))"
        elif catalogue_metric.kind is Instrument.COUNTER:
            expr, unit = f"sum(rate({catalogue_metric.prometheus}{selector}[5m]))", f"{unit}/s"
        else:
            expr = f"avg({catalogue_metric.prometheus}{selector})"
        derived.append(
            Kpi(name=catalogue_metric.name, layer=catalogue_metric.layer.name, expr=expr, unit=unit, further=True)
        )
    return tuple(derived)


KPIS: Final[tuple[Kpi, ...]] = (*_REQUIRED, *further(METRICS[len(REQUIRED_METRICS) :]))
"""All figures, in the order of the layers, the platform last."""

PLACES: Final = (*LAYER_NAMES, PLATFORM)
"""Layers, and the platform."""

MAIN: Final = ("devices", "streams", "api-calls", "etl-success", "sessions", "points")
"""The figure of each place that is drawn in the weekly report."""


def kpi(name: str) -> Kpi:
    """Find a figure by name.

    Raises:
        KeyError: There is no such figure.
    """
    return next((known_kpi for known_kpi in KPIS if known_kpi.name == name), None) or _unknown(name)


def _unknown(name: str) -> Kpi:
    raise KeyError(f"figure {name!r} does not exist: use one of {', '.join(known_kpi.name for known_kpi in KPIS)}")


FRESH_S: Final = 120
"""A layer is fresh while its newest sample is not older: the limit of TelemetryStale, which a test compares."""


@dataclass(frozen=True, kw_only=True)
class Query:
    """One question; its name also finds its words.

    Attributes:
        name: Identity.
        expr: PromQL.
        unit: UCUM unit of the answer.
    """

    name: str
    expr: str
    unit: str = ""


def _q(name: str, expr: str, unit: str = "") -> Query:
    return Query(name=name, expr=expr, unit=unit)


HISTORY = _q("history", "count(up)")
"""Anything at all: its first point is where history begins."""

SILENT_S: Final = 6 * 3600
"""The age of a layer is known up to this; a layer that sent nothing for longer has no age at all."""


def _or_silent(value: int) -> str:
    """What stands for layers without an age while something else is observed: where nothing is, nothing is known."""
    return "".join(f' or ({value} + 0 * label_replace(count(up), "layer", "{name}", "", ""))' for name in LAYER_NAMES)


_AGE = "max by (layer) (obs:layer_age:seconds)"
LAYER_FRESH = _q("layer-fresh", f"avg_over_time((({_AGE} <= bool {FRESH_S}){_or_silent(0)})[$step:1m])", "1")
PART_UP = _q("part-up", "avg_over_time((max by (job) (up))[$step:1m])", "1")
INSTANCES_UP = _q("instances-up", "avg by (job) (avg_over_time(up[$range]))", "1")
INSTANCES = _q("instances", "count by (job) (up)")

SLO_BAD = _q(
    "slo-bad",
    "sum by (slo) (sum_over_time(slo:errors:rate5m[$range])) / sum by (slo) (sum_over_time(slo:events:rate5m[$range]))",
    "1",
)
_VIOLATED = "max by (slo) ((slo:errors:rate5m / slo:events:rate5m) > bool (1 - slo:objective:ratio))"
SLO_MINUTES_BAD = _q("slo-minutes-bad", f"sum_over_time(({_VIOLATED})[$range:1m])")
SLO_MINUTES = _q("slo-minutes", f"count_over_time(({_VIOLATED})[$range:1m])")
SLO_LEFT = _q("slo-left", "max by (slo) (slo:error_budget_remaining:ratio)", "1")

_BROKERS = "kafka_server_brokertopicmetrics"
MOST_DEVICES = _q("most-devices", f"max_over_time(sum({series_of('device.connected')})[$range:1m])", "{device}")
KNOWN_DEVICES = _q("known-devices", f"max_over_time(count({series_of('device.connected')})[$range:1m])", "{device}")
MEAN_DEVICES = _q("mean-devices", f"avg_over_time(sum({series_of('device.connected')})[$range:1m])", "{device}")


def _none_of(failures: str, tries: str) -> str:
    """How many failures: none where something was tried and none is counted, unknown where nothing was tried."""
    return f"sum(increase({failures}[$range])) or 0 * sum(increase({tries}[$range]))"


COUNTS: Final[tuple[Query, ...]] = (
    KNOWN_DEVICES,
    MOST_DEVICES,
    MEAN_DEVICES,
    _q("most-streams", f"max_over_time(sum({series_of('stream.active')})[$range:1m])", "{stream}"),
    _q("mean-streams", f"avg_over_time(sum({series_of('stream.active')})[$range:1m])", "{stream}"),
    _q("most-recordings", f"max_over_time(sum({series_of('recording.active')})[$range:1m])", "{recording}"),
    _q("recording-segments", f"sum(increase({series_of('recording.attempts')}[$range]))", "{recording}"),
    _q(
        "recording-lost",
        _none_of(series_of("recording.failures"), series_of("recording.attempts")),
        "{recording}",
    ),
    _q("recorded-bytes", f"sum(increase({series_of('recording.stored')}[$range]))", "By"),
    _q("adls-bytes", f"sum(increase({series_of('adls.transfer.io')}[$range]))", "By"),
    _q("work-events", f"sum(increase({series_of('work_event.processed')}[$range]))", "{event}"),
    _q("api-calls", f"sum(increase({API}[$range]))", "{call}"),
    _q("api-failed", _none_of(API_ERRORS, API), "{call}"),
    _q("etl-runs", f"sum(increase({series_of('etl.job.runs')}[$range]))", "{run}"),
    _q("checks", f"sum(increase({series_of('consistency.check.runs')}[$range]))", "{run}"),
    _q("most-sessions", f"max_over_time(sum({series_of('user.session.active')})[$range:1m])", "{session}"),
    _q(
        "spans", 'sum(increase(otelcol_receiver_accepted_spans_total{job="gateway",receiver="otlp"}[$range]))', "{span}"
    ),
    _q("kafka-records", f'sum(increase({_BROKERS}_messagesin_total{{topic!=""}}[$range]))', "{record}"),
)
"""What is counted, of one number each."""

ITEMS = _q(
    "items",
    f'sum by (layer, signal) (increase({ACCEPTED}{{job="gateway"}}[$range]))',
    "{item}",
)
"""What each layer sent."""

AGE_NOW = _q("age-now", f"{_AGE}{_or_silent(SILENT_S)}", "s")
AGE_MOST = _q("age-most", f"max by (layer) (max_over_time(({_AGE}{_or_silent(SILENT_S)})[$range:1m]))", "s")
LAG_NOW = _q("lag-now", "sum by (consumergroup) (obs:consumer_lag:sum)", "{record}")
LAG_MOST = _q("lag-most", "max by (consumergroup) (max_over_time(obs:consumer_lag:sum[$range]))", "{record}")

ALERTS = _q(
    "alerts", 'count by (severity) (ALERTS{alertstate="firing",escalation="",alertname!="Watchdog"})', "{alert}"
)

CPU = _q(
    "cpu",
    "sum by (job) (rate(process_cpu_seconds_total[5m])) or sum by (job) (rate(otelcol_process_cpu_seconds_total[5m]))",
    "{processor}",
)
MEMORY = _q(
    "memory", "sum by (job) (process_resident_memory_bytes) or sum by (job) (otelcol_process_memory_rss_bytes)", "By"
)
DISKS = _q(
    "disks",
    'label_replace(max by (instance) (obs:kafka_disk_used:ratio), "volume", "$1", "instance", "(.*)")'
    ' or label_replace(max by (instance) (obs:prometheus_disk_used:ratio), "volume", "$1", "instance", "(.*)")'
    ' or label_replace(max by (node) (search_node_disk_used_ratio), "volume", "$1", "node", "(.*)")',
    "1",
)
TOPIC_IN = _q("topic-in", f'sum by (topic) (increase({_BROKERS}_bytesin_total{{topic!=""}}[$range]))', "By")
TOPIC_RECORDS = _q(
    "topic-records", f'sum by (topic) (increase({_BROKERS}_messagesin_total{{topic!=""}}[$range]))', "{record}"
)
TOPIC_SIZE = _q("topic-size", "sum by (topic) (kafka_log_size_bytes)", "By")

CONTAINER_RESTARTS: Final = "kube_pod_container_status_restarts_total"
"""What Kubernetes counts, where the stack has its state (``cluster.state``). A pod that is replaced is no restart."""
PROCESS_START: Final = "process_start_time_seconds"
"""What processes say of themselves: counted instead where Kubernetes' own count is nowhere in the period."""
NOT_COUNTED: Final = f"unless on () group(last_over_time({CONTAINER_RESTARTS}[$range]))"
"""Behind what is asked of processes: nothing where Kubernetes counts."""
_SUFFIX = "[bcdfghjklmnpqrstvwxz2456789]"
_POD = f"(.+?)(-{_SUFFIX}{{5,10}}-{_SUFFIX}{{5}}|-[0-9]{{8}}-{_SUFFIX}{{5}}|-{_SUFFIX}{{5}}|-[0-9]+)"
"""Name of a pod: its workload, and what Deployments, CronJobs, DaemonSets and StatefulSets add."""
POD_RESTARTS: Final = f"sum by (pod) (round(increase({CONTAINER_RESTARTS}[$range])))"
RESTARTS = _q("restarts", f'sum by (job) (label_replace({POD_RESTARTS}, "job", "$1", "pod", "{_POD}"))', "{restart}")
PROCESS_RESTARTS = _q("process-restarts", f"sum by (job) (changes({PROCESS_START}[$range])) {NOT_COUNTED}", "{restart}")
OLDEST_START = _q("oldest-start", "min by (job) (process_start_time_seconds)", "s")


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """Something that grows towards a limit.

    Attributes:
        name: Identity; ``capacity.<name>`` are its words.
        expr: PromQL of one number.
        unit: UCUM unit.
        limit: Where it must not go; None where nothing is promised.
    """

    name: str
    expr: str
    unit: str
    limit: float | None = None

    @property
    def mean(self) -> str:
        """PromQL of its mean over ``$step``."""
        return f"avg_over_time(({self.expr})[$step:5m])"


CAPACITIES: Final[tuple[Capacity, ...]] = (
    Capacity(name="kafka-disk", expr="max(obs:kafka_disk_used:ratio)", unit="1", limit=0.75),
    Capacity(name="prometheus-disk", expr="max(obs:prometheus_disk_used:ratio)", unit="1", limit=0.85),
    Capacity(name="search-disk", expr="max(search_node_disk_used_ratio)", unit="1", limit=0.85),
    Capacity(name="object-storage", expr=f"max({series_of('system.filesystem.utilization')})", unit="1", limit=0.8),
    Capacity(name="points", expr=gateway_rate("metrics"), unit="{point}/s", limit=100_000),
    Capacity(name="spans", expr=gateway_rate("traces"), unit="{span}/s", limit=10_000),
    Capacity(name="series", expr="max(prometheus_tsdb_head_series)", unit="{series}"),
    Capacity(name="devices", expr=f"count({series_of('device.connected')})", unit="{device}"),
    Capacity(name="sessions", expr=f"sum({series_of('user.session.active')})", unit="{session}", limit=100),
)
"""What the capacity plan is about. Limits are those of the alerts, and the loads that are promised (S2)."""

_LIMIT = "{limit}"


@dataclass(frozen=True, kw_only=True)
class Objective:
    """One objective.

    Attributes:
        name: Identity; the label ``slo``.
        layer: Layer, or ``platform``.
        description: What counts as good.
        objective: Share of the events that has to be good.
        window_s: Over how many seconds it counts.
    """

    name: str
    layer: str
    description: Text
    objective: float
    window_s: int

    @property
    def budget(self) -> float:
        """Share of the events that may be bad."""
        return 1 - self.objective


def objectives(document: Mapping[str, Any]) -> tuple[Objective, ...]:
    """Objectives of the parsed file.

    Raises:
        KeyError: A key is missing.
        TypeError: A value is of another kind.
    """
    limits = {row["slo"]: (float(row["limit"]), text(row["unit"])) for row in document["thresholds"] if row.get("slo")}
    return tuple(_objective(row, limits.get(row["name"])) for row in document["slos"])


def _objective(row: Mapping[str, Any], limit: tuple[float, str] | None) -> Objective:
    english, japanese = text(row["description"]), text(row["description_ja"])
    if limit is not None:
        english = english.replace(_LIMIT, spoken(*limit, "en"))
        japanese = japanese.replace(_LIMIT, spoken(*limit, "ja"))
    return Objective(
        name=text(row["name"]),
        layer=text(row["layer"]),
        description=Text(en=english, ja=japanese),
        objective=float(row["objective"]),
        window_s=seconds(text(row["window"])),
    )


with explaining():
    OBJECTIVES: tuple[Objective, ...] = objectives(content())
"""All objectives, in the order of the file."""


@dataclass(frozen=True, kw_only=True)
class Achieved:
    """How an objective was kept.

    Attributes:
        objective: It.
        bad: Share of the events that were bad; None where nothing is known.
        bad_minutes: Minutes in which more were bad than may be.
        minutes: Minutes that are known.
        left: Share of the error budget that is left over the objective's own window.
    """

    objective: Objective
    bad: float | None
    bad_minutes: float | None
    minutes: float | None
    left: float | None

    @property
    def good(self) -> float | None:
        """Share of the events that were good."""
        return None if self.bad is None else 1 - self.bad

    @property
    def kept(self) -> bool | None:
        """Whether it was kept; None where nothing is known."""
        return None if self.bad is None else self.bad <= self.objective.budget

    @property
    def burn(self) -> float | None:
        """Multiple of the speed that uses the budget up exactly at the end of the window."""
        return None if self.bad is None else self.bad / self.objective.budget

    def used(self, period_s: float) -> float | None:
        """Share of a whole window's budget that a period of this length used, at an even rate of events."""
        return None if self.burn is None else self.burn * period_s / self.objective.window_s

    @property
    def left_of_period(self) -> float | None:
        """Share of the period's own budget that was left."""
        return None if self.burn is None else 1 - self.burn
