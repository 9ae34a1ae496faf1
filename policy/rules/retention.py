"""How long telemetry is kept, and how late it may come (requirements K4, P1)."""

from __future__ import annotations

from collections.abc import Iterator

from policy.documents import Format, documents
from policy.model import Finding, Option, Options, Resource, Rule
from policy.rules._dataplane import TOPIC, servers
from policy.rules._kubernetes import WORKLOADS, Process, processes
from policy.rules._values import DAY_MS, FILES, finding, number, seconds, shown, size

_DAYS = {
    "telemetry-metrics": 30,
    "telemetry-traces": 7,
    "telemetry-logs": 14,
    "alerts-raw": 30,
    "alerts-processed": 30,
    "audit": 400,
}
_WEEK_MINUTES = 7 * 24 * 60
_SHARE = 0.9


def _topic(resource: Resource, options: Options) -> Iterator[Finding]:
    if resource.type != TOPIC:
        return
    config = resource.node["config"]
    days = options["topic_days"].get(resource.object_name, options["other_topics_days"])
    kept = config["retention.ms"]
    amount = number(kept)
    if amount is not None and amount < 0:
        yield finding(
            resource, kept, f"retention.ms {shown(kept)}: nothing is ever deleted", f"set it to {days * DAY_MS}"
        )
    elif amount is None or amount < days * DAY_MS:
        problem = f"retention.ms {shown(kept)}, less than {days * DAY_MS} ({days} d)"
        yield finding(resource, kept, problem, f"set it to at least {days * DAY_MS}")
    policy = config["cleanup.policy"]
    if policy.text() != "delete":
        problem = f"cleanup.policy {shown(policy)}"
        yield finding(resource, policy, problem, "set it to delete")
    limit = config["retention.bytes"]
    if limit.exists and number(limit) != -1:
        problem = f"retention.bytes {shown(limit)}, so records go before their time when there are many"
        yield finding(resource, limit, problem, "remove it")


def _broker(resource: Resource, options: Options) -> Iterator[Finding]:
    for server in servers(resource):
        limit = server["log.retention.bytes"]
        if limit.exists and number(limit) != -1:
            problem = f"log.retention.bytes {shown(limit)}, so records go before their time when there are many"
            yield finding(resource, limit, problem, "remove it")
        offsets = server["offsets.retention.minutes"]
        if offsets.exists and (number(offsets) or 0) < _WEEK_MINUTES:
            problem = f"offsets.retention.minutes {shown(offsets)}, less than {_WEEK_MINUTES}"
            yield finding(resource, offsets, problem, "remove it")


def _prometheus(resource: Resource, options: Options) -> Iterator[Finding]:
    for process in processes(resource):
        if not process.runs("prometheus"):
            continue
        text = process.flag("--storage.tsdb.retention.time")
        kept = seconds(text) if text else 15 * 86400
        days = options["prometheus_days"]
        if kept is None or kept < days * 86400:
            state = f"is {text}" if text else "is not given, which is 15d"
            problem = f"--storage.tsdb.retention.time {state}, less than {days}d"
            yield finding(resource, process.where, problem, f"set it to at least {days}d")
        yield from _fits(process)


def _fits(process: Process) -> Iterator[Finding]:
    text = process.flag("--storage.tsdb.retention.size")
    limit = size(text, binary=True)
    if not limit:
        problem = (
            "--storage.tsdb.retention.size "
            + (f"is {text}" if text else "is not given")
            + ", so the volume can fill up"
        )
        yield finding(process.resource, process.where, problem, "set it below the size of the volume")
        return
    claims = list(process.resource.node.at("spec.volumeClaimTemplates").elements())
    folder = process.flag("--storage.tsdb.path")
    for claim in claims:
        for mount in process.container["volumeMounts"].elements():
            volume = size(claim.at("spec.resources.requests.storage").text())
            fits = volume is None or limit <= volume * _SHARE
            if (
                mount["name"].text() == claim.at("metadata.name").text()
                and mount["mountPath"].text() == folder
                and not fits
            ):
                stored = claim.at("spec.resources.requests.storage").text()
                problem = f"--storage.tsdb.retention.size is {text}, more than 90 % of the volume of {stored}"
                yield finding(process.resource, process.where, problem, "lower it or enlarge the volume")


def _window(resource: Resource, options: Options) -> Iterator[Finding]:
    for document in documents(resource, Format.PROMETHEUS):
        if not document.node["otlp"].exists and not document.node["storage"].exists:
            continue
        window = document.node.at("storage.tsdb.out_of_order_time_window")
        least = seconds(options["out_of_order_window"]) or 0
        if (seconds(window.text()) or 0) < least:
            problem = f"out_of_order_time_window {shown(window)}, less than {options['out_of_order_window']}"
            yield finding(resource, window, problem, f"set it to at least {options['out_of_order_window']}")


RULES: tuple[Rule, ...] = (
    Rule(
        id="kafka-topic-retention",
        promise="Topics keep records for as long as agreed, then delete them.",
        why="Who reads late, after an outage or to look back, finds a gap; what is never deleted fills the disks.",
        sources=("K4",),
        options={
            "topic_days": Option(
                default=_DAYS,
                schema={"type": "object", "additionalProperties": {"type": "integer", "minimum": 1}},
                meaning="Days that each topic keeps records for, at least.",
            ),
            "other_topics_days": Option(
                default=1, schema={"type": "integer", "minimum": 1}, meaning="Days for topics that are not listed."
            ),
        },
        kinds=frozenset({"Topic"}),
        resource=_topic,
    ),
    Rule(
        id="kafka-broker-retention",
        promise="Brokers delete records by age only, and remember a group's position for a week.",
        why="A burst would push out records that nobody has read, and a group that was away would start anew.",
        sources=("K4", "O5"),
        kinds=FILES,
        resource=_broker,
    ),
    Rule(
        id="prometheus-retention",
        promise="Prometheus keeps metrics for as long as agreed, on a volume that cannot fill up.",
        why="Dashboards and reports look back that far, and a full volume stops alerts too.",
        sources=("P1",),
        options={
            "prometheus_days": Option(
                default=7,
                schema={"type": "integer", "minimum": 1},
                meaning="Days that Prometheus keeps metrics for, at least.",
            )
        },
        kinds=WORKLOADS,
        resource=_prometheus,
    ),
    Rule(
        id="prometheus-late-samples",
        promise="A Prometheus that Kafka feeds takes samples as old as its longest outage.",
        why="What it missed while it was down comes out of order, and older samples are refused for good.",
        sources=("P1", "O5"),
        options={
            "out_of_order_window": Option(
                default="6h", schema={"type": "string"}, meaning="Longest outage after which no gap may remain."
            )
        },
        kinds=FILES,
        resource=_window,
    ),
)
