"""Metrics: replicas that readers can tell apart and merge, bounded reads, shards, Thanos' protecting flags; how long
they are kept, and how late they may come.

Each shard has its pair and its readers, and rules about all of them are told once and over TLS (P1, P4).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from policy.documents import Document, Format, documents
from policy.model import Finding, Node, Option, Options, Resource, Rule
from policy.rules._kubernetes import WORKLOADS, Process, processes
from policy.rules._servers import known_documents
from policy.rules._values import FILES, Unknowns, each_known, finding, number, seconds, shown, size
from policy.rules.alerting import secured


def _labels(resource: Resource, options: Options) -> Iterator[Finding]:
    for document in documents(resource, Format.PROMETHEUS):
        labels = document.node.at("global.external_labels")
        for needed in options["labels"]:
            if not labels[needed].text():
                yield Finding(
                    resource=resource,
                    where=f"{document.name}: global.external_labels.{needed}",
                    problem="is not set",
                    fix=f"set global.external_labels.{needed}",
                )


_BOUNDS = (
    ("prometheus", "", "--storage.remote.read-concurrent-limit", "answers that it sends at the same time"),
    ("thanos", "query", "--query.max-concurrent", "queries that run at the same time"),
)
"""Program, its part, a flag, and what it bounds; zero would mean that nothing is bounded."""


def _reads_bounded(resource: Resource, options: Options) -> Iterator[Finding]:
    for process in processes(resource):
        for program, part, flag, meaning in _BOUNDS:
            if process.runs(program, part) and not process.flag(flag).strip("0"):
                problem = f"{flag} does not bound the {meaning}"
                yield finding(resource, process.where, problem, f"add {flag} with the number that fits into its memory")


_ADMIN = ("--disable-admin-operations", "whoever reaches its port may have blocks deleted")
_PAGES = ("--web.disable", "its pages show every block to whoever reaches its port")
_NEEDED = (
    ("compact", *_ADMIN),
    ("compact", *_PAGES),
    ("query", "--query.partial-response", "one store that is down takes every dashboard with it"),
    ("store", *_ADMIN),
    ("store", *_PAGES),
)
"""Part of Thanos, a flag, and what happens without it."""


def _thanos_flags(resource: Resource, options: Options) -> Iterator[Finding]:
    for process in processes(resource):
        for part, flag, problem in _NEEDED:
            if process.runs("thanos", part) and not process.has(flag):
                yield finding(resource, process.where, f"{flag} is not given, so {problem}", f"add {flag}")


_LABEL = "--query.replica-label"


def _named(resource: Resource, options: Options) -> Iterator[Finding]:
    for labels in _external_labels(resource):
        if not labels.value:
            problem = "the replica does not say which one it is: external_labels is not set"
            yield finding(resource, labels, problem, "set global.external_labels, with a label for the replica")


def _external_labels(resource: Resource) -> Iterator[Node]:
    """External labels of every Prometheus that keeps metrics for others to read."""
    for document in documents(resource, Format.PROMETHEUS):
        if document.node["otlp"].exists or document.node["storage"].exists:
            yield document.node.at("global.external_labels")


def _merged(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    unknown = Unknowns()
    replicas = [(resource, labels) for resource in resources for labels in unknown.known(_external_labels(resource))]
    yield from each_known(_one_view(resource, replicas) for resource in resources)
    unknown.tell()


def _one_view(workload: Resource, replicas: Sequence[tuple[Resource, Node]]) -> Iterator[Finding]:
    for process in processes(workload):
        if not process.runs("thanos", "query"):
            continue
        used = [label for value in process.flags(_LABEL) for label in value.split(",")]
        if not used and len(replicas) > 1:
            problem = f"{_LABEL} is not given, so every value of every replica is shown"
            yield finding(workload, process.where, problem, f"add {_LABEL} with the label that replicas differ by")
        for resource, labels in replicas:
            if used and labels.value and not any(labels[label].text() for label in used):
                problem = f"it has none of the labels that {workload.label} merges replicas by: {', '.join(used)}"
                yield finding(resource, labels, problem, f"set {used[0]} to the name of the replica")


_SHARD, _REPLICA = "prometheus_shard", "prometheus_replica"
_DROP = "--alert.label-drop"
_RECEIVERS = "--alertmanagers.config-file"


def _pairs(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    known, unknown = known_documents(resources, Format.PROMETHEUS)
    shards: dict[str, dict[str, Document]] = {}
    for document in known:
        labels = document.node.at("global.external_labels")
        if labels[_REPLICA].text():
            shards.setdefault(labels[_SHARD].text() or "0", {})[labels[_REPLICA].text()] = document
    replicas = sorted({replica for members in shards.values() for replica in members})
    for shard, members in sorted(shards.items()):
        missing = [replica for replica in replicas if replica not in members]
        if missing:
            document = next(iter(members.values()))
            yield finding(
                document.resource,
                document.node.at("global.external_labels"),
                f"shard {shard} has no server in the replica {', '.join(missing)}",
                "give every replica a server for every shard",
            )
    if unknown:
        raise unknown


def _read(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    known, unknown = known_documents(resources, Format.COLLECTOR)
    groups: dict[str, list[tuple[Document, Node, float, float]]] = {}
    for document in known:
        for _, receiver in document.node["receivers"].items():
            shard = receiver["shard"]
            index, count = number(shard["index"]), number(shard["count"])
            if index is not None and count is not None:
                groups.setdefault(receiver["group_id"].text(), []).append((document, shard, index, count))
    for group, members in sorted(groups.items()):
        yield from _complete(group, members)
    if unknown:
        raise unknown


def _complete(group: str, members: Sequence[tuple[Document, Node, float, float]]) -> Iterator[Finding]:
    counts = {count for *_, count in members}
    indices = sorted(index for *_, index, _ in members)
    document, shard, *_ = members[0]
    if len(counts) > 1:
        yield finding(
            document.resource,
            shard,
            f"the consumers of group {group} do not agree how many shards there are: "
            f"{', '.join(f'{count:g}' for count in sorted(counts))}",
            "give all of a group the same count",
        )
    elif indices != list(range(int(counts.pop()))):
        yield finding(
            document.resource,
            shard,
            f"the consumers of group {group} are of the shards {', '.join(f'{index:g}' for index in indices)}: "
            "partitions of the others are read by nobody",
            "give every shard one consumer",
        )


def _told_once(resource: Resource, options: Options) -> Iterator[Finding]:
    for process in processes(resource):
        if not process.runs("thanos", "rule"):
            continue
        labels = {value.partition("=")[0] for value in process.flags("--label")}
        dropped = set(process.flags(_DROP))
        for label in sorted(labels & {_REPLICA, _SHARD} - dropped):
            yield finding(
                resource,
                process.where,
                f"alerts leave the ruler with the label {label}, so that two rulers tell everybody twice",
                f"add {_DROP}={label}",
            )
        if not any(process.flags(_RECEIVERS)):
            yield finding(
                resource,
                process.where,
                "the ruler tells nobody of its alerts",
                f"add {_RECEIVERS} with every Alertmanager",
            )


def _told_over_tls(resource: Resource, options: Options) -> Iterator[Finding]:
    for document in documents(resource, Format.OTHER):
        for node in document.node["alertmanagers"].elements():
            yield from secured(resource, node, node["http_config"], who="the ruler")


_SHARE = 0.9


def _retention(resource: Resource, options: Options) -> Iterator[Finding]:
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
        yield from _fits_the_volume(process)


def _fits_the_volume(process: Process) -> Iterator[Finding]:
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


def _late_samples(resource: Resource, options: Options) -> Iterator[Finding]:
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
        id="prometheus-external-labels",
        promise="Every Prometheus says in its external labels which replica of which platform and region it is.",
        why="Without them Thanos can neither tell the replicas apart nor take their duplicates away.",
        sources=("P1", "P4"),
        kinds=frozenset({"ConfigMap", "Secret"}),
        options={
            "labels": Option(
                default=["platform", "region", "prometheus_replica"],
                schema={"type": "array", "items": {"type": "string"}},
                meaning="external labels that every Prometheus needs",
            )
        },
        resource=_labels,
    ),
    Rule(
        id="metrics-reads-bounded",
        promise="Prometheus and Thanos Query bound how much is read at the same time.",
        why="Neither bounds the memory of reads otherwise: one page of dashboards after a busy hour ends them all.",
        sources=("P1", "S2"),
        kinds=WORKLOADS,
        resource=_reads_bounded,
    ),
    Rule(
        id="thanos-flags-given",
        promise="Thanos serves no administration and no pages of blocks, and answers from the stores that are up.",
        why="The flags for it are off by default, and a part without them works as well.",
        sources=("P2", "P4"),
        kinds=WORKLOADS,
        resource=_thanos_flags,
    ),
    Rule(
        id="prometheus-replica-named",
        promise="Every Prometheus names its platform and which replica it is.",
        why="Thanos refuses it without, and readers could not tell one replica's values from another's.",
        sources=("P1",),
        kinds=frozenset({"ConfigMap", "Secret"}),
        resource=_named,
    ),
    Rule(
        id="thanos-merges-replicas",
        promise="Thanos merges replicas by a label that each of them has.",
        why="Sums would count every replica, and a lost one would leave gaps.",
        sources=("P1",),
        stack=_merged,
    ),
    Rule(
        id="prometheus-shard-pairs",
        promise="Every shard of metrics has a server in every replica.",
        why="With its only server a shard is gone for readers and rules, though another replica is there.",
        sources=("P1", "P4"),
        stack=_pairs,
    ),
    Rule(
        id="consumer-shards-complete",
        promise="The consumers of a group have one for every shard, and agree how many there are.",
        why="Partitions of a shard without a consumer are read by nobody: their series end.",
        sources=("O5", "P4"),
        stack=_read,
    ),
    Rule(
        id="ruler-alerts-told-once",
        promise="Rulers tell Alertmanager, and their alerts look the same.",
        why="Alerts of the layers would be told twice, or by nobody.",
        sources=("A1", "P4"),
        resource=_told_once,
    ),
    Rule(
        id="ruler-alerts-tls",
        promise="Rulers send alerts over verified TLS and with a login.",
        why="Alerts could be read, forged or dropped on the way.",
        sources=("A1", "P2"),
        kinds=FILES,
        resource=_told_over_tls,
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
        resource=_retention,
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
        resource=_late_samples,
    ),
)
