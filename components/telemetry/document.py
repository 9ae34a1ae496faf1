"""Writes the catalogue as Markdown: ``docs/telemetry.md``, and ``docs/thresholds.md`` with what keeps alerts quiet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from components.rules import Inhibition, Severity
from components.telemetry.attributes import KEY_ATTRIBUTES, RESOURCE_ATTRIBUTES
from components.telemetry.catalogue import METRICS
from components.telemetry.file import NAME
from components.telemetry.layers import LAYERS, Layer
from components.telemetry.registry import REGISTRY, Attribute
from components.telemetry.rules import ALERT_OF_PRIORITY, ERRORS, EVENTS, OBJECTIVE, REMAINING, burn, inhibitions
from components.telemetry.schema import BASE_WINDOW, Document, Slo, Threshold
from components.telemetry.thresholds import thresholds_on
from components.telemetry.topics import TOPICS


def table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]], *, last: bool = False) -> Iterator[str]:
    """Lines of a Markdown table, and an empty one unless it is the document's last."""
    yield f"| {' | '.join(header)} |"
    yield f"|{'---|' * len(header)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
    if not last:
        yield ""


def markdown() -> str:
    """The whole document, ending in a line break."""
    return "\n".join(_telemetry()) + "\n"


def _telemetry() -> Iterator[str]:
    yield "# Telemetry of the five layers"
    yield ""
    yield "Generated: do not edit. To refresh it: `python -m components.telemetry > docs/telemetry.md`."
    yield ""
    yield "## Layers"
    yield ""
    yield (
        "A signal that is not listed for its layer is refused at the gateway, and counted. "
        "The layer's name is also its user at the gateway. Budgets count what is new within half an hour: time series "
        "of the layer and of one resource (a device, a process), different names of spans. Shares are parts "
        "of the platform's peak (`gateway.peak` of a stack): a client that sends more is told to come again. How to "
        "send: [ingest.md](ingest.md)."
    )
    yield ""
    yield from table(
        ("source", "`layer`", "what", "signals", "topics", "series", "of one resource", "span names", "shares"),
        (
            (
                layer.source,
                f"`{layer.name}`",
                layer.description,
                _signals(layer),
                ", ".join(f"`{t}`" for t in layer.topics),
                f"{layer.budget.series:,}",
                f"{layer.budget.client_series:,}",
                f"{layer.budget.span_names:,}" if layer.budget.span_names else "",
                ", ".join(f"{signal} {share:.0%}" for signal, share in layer.shares.items()),
            )
            for layer in LAYERS
        ),
    )
    yield "## Topics"
    yield ""
    yield from table(
        ("topic", "partitions", "kept for", "records"),
        ((f"`{t.name}`", str(t.partitions), f"{t.retention_days} d", t.description) for t in TOPICS),
    )
    yield "## Resource attributes"
    yield ""
    yield (
        "The gateway keeps these and drops all others; a resource without a required one is refused. Metrics and "
        f"logs are keyed by the first of {', '.join(f'`{key}`' for key in KEY_ATTRIBUTES)} that is there; traces by "
        "trace id. `service.name` becomes the label `job`, `service.instance.id` the label `instance`."
    )
    yield ""
    yield from table(
        ("attribute", "type", "layers", "required", "label of every series", "what"),
        (
            (
                f"`{resource_attribute.key}`",
                REGISTRY.types[resource_attribute.key].type.value,
                "all" if len(resource_attribute.layers) == len(LAYERS) else ", ".join(resource_attribute.layers),
                "yes" if resource_attribute.required else "",
                "yes" if resource_attribute.promoted else "",
                resource_attribute.description,
            )
            for resource_attribute in RESOURCE_ATTRIBUTES
        ),
    )
    yield "## Metrics"
    yield ""
    yield "Their thresholds: [thresholds.md](thresholds.md)."
    yield ""
    for layer in LAYERS:
        yield f"### {layer.source}: {layer.name} ({layer.description})"
        yield ""
        yield from table(
            ("service", "metric", "unit", "instrument", "attributes", "in Prometheus", "threshold", "what"),
            (
                (
                    metric.service,
                    f"`{metric.name}`",
                    f"`{metric.unit}`",
                    metric.kind.value,
                    ", ".join(f"`{key}`" for key in metric.attributes),
                    f"`{metric.prometheus}`",
                    ", ".join(f"`{threshold.name}`" for threshold in thresholds_on(metric.name)),
                    metric.description,
                )
                for metric in METRICS
                if metric.layer is layer
            ),
        )
    yield from _conventions()
    yield from _attributes()
    yield from _reserved()


def _conventions() -> Iterator[str]:
    yield "## Metrics of SDKs"
    yield ""
    yield (
        "What SDKs and instrumentation libraries send by default, by OpenTelemetry's semantic conventions. Every "
        "service of every layer may send it. Without a unit, any is let in."
    )
    yield ""
    yield from table(
        ("metric", "unit", "instrument", "attributes", "what"),
        (
            (
                f"`{metric.name}`",
                f"`{metric.unit}`" if metric.unit else "",
                metric.kind.value,
                ", ".join(f"`{key}`" for key in metric.attributes),
                metric.description,
            )
            for metric in REGISTRY.conventions.metrics
        ),
    )


def _attributes() -> Iterator[str]:
    yield "## Attributes of spans, logs and points"
    yield ""
    yield (
        "Spans (their events and links too) and logs keep these and lose all others. A point has those that its metric "
        "lists, and is refused with any other. Ids become keyed hashes; in text, personal data and secrets are masked; "
        "a value of another type than its key's is dropped."
    )
    for group in REGISTRY.attributes.groups:
        if tuple(group.at) == ("resource",):
            continue
        yield ""
        places = " and ".join(place for place in group.at if place != "resource") or "points of metrics only"
        layers = f"; layers: {', '.join(group.layers)}" if group.layers else ""
        yield f"### {group.brief[0].upper()}{group.brief[1:]}"
        yield ""
        yield f"At: {places}{layers}."
        yield ""
        yield from table(
            ("attribute", "type", "what"),
            ((f"`{attribute.id}`", _type(attribute), attribute.brief) for attribute in group.attributes),
            last=True,
        )
    yield ""


def _type(attribute: Attribute) -> str:
    """The type, with what it allows."""
    if attribute.members:
        return f"{attribute.type.value}: {', '.join(attribute.members)}"
    bounds = [f"{bound:g}" for bound in (attribute.minimum, attribute.maximum) if bound is not None]
    return (
        f"{attribute.type.value} {' to '.join(bounds)}{' or more' if len(bounds) == 1 else ''}"
        if bounds
        else (attribute.type.value)
    )


def _reserved() -> Iterator[str]:
    yield "## Reserved names"
    yield ""
    yield "Names of this platform itself; a star stands for any rest. What uses one is refused, in every layer."
    yield ""
    reserved = REGISTRY.reserved
    yield from table(
        ("what", "names"),
        (
            ("labels", ", ".join(f"`{name}`" for name in reserved.labels)),
            ("metrics, as Prometheus spells them", ", ".join(f"`{name}`" for name in reserved.metrics)),
            ("`service.name`", ", ".join(f"`{name}`" for name in reserved.services)),
        ),
        last=True,
    )


def _signals(layer: Layer) -> str:
    return ", ".join(sorted(signal.value for signal in layer.signals))


_STARRED = "A limit marked * is our default: the requirement asks for a watch and states no number."
_TEMPLATES = (
    "Texts for people are Prometheus' templates: `{{ $labels.x }}` and `{{ $value }}` are filled in when it fires."
)


def threshold_markdown(document: Document) -> str:
    """The whole document, ending in a line break."""
    return "\n".join(_thresholds(document)) + "\n"


def _thresholds(document: Document) -> Iterator[str]:
    yield "# Thresholds and objectives"
    yield ""
    yield (
        f"Generated from `{NAME}`: do not edit. "
        "To refresh it: `python -m components.telemetry thresholds > docs/thresholds.md`."
    )
    yield "How to change it, and who approves: [operations/thresholds.md](operations/thresholds.md)."
    yield ""
    yield "## Alerts of the layers"
    yield ""
    yield _STARRED
    for layer in LAYERS:
        rows = [threshold for threshold in document.thresholds if threshold.layer is layer]
        if rows:
            yield ""
            yield f"### {layer.source}: {layer.name}"
            yield ""
            yield from table(
                ("threshold", "alert", "condition", "for", "priority", "owner", "why"),
                (_summary(row) for row in rows),
                last=True,
            )
    yield ""
    yield "### What is evaluated"
    yield ""
    yield from table(
        ("alert", "metrics", "PromQL"),
        (
            (f"`{threshold.alert}`", ", ".join(f"`{name}`" for name in threshold.metrics), f"`{threshold.expression}`")
            for threshold in document.thresholds
        ),
    )
    yield "### What people read"
    yield ""
    yield _TEMPLATES
    yield ""
    yield from table(
        ("alert", "English", "Japanese"),
        (
            (
                f"`{threshold.alert}`",
                f"{threshold.summary}<br>{threshold.description}",
                f"{threshold.summary_ja}<br>{threshold.description_ja}",
            )
            for threshold in document.thresholds
        ),
    )
    yield from _objectives(document)
    yield from _quiet(inhibitions(document))
    yield "## Owners"
    yield ""
    yield from table(("team", "answers for"), sorted(document.owners.items()), last=True)


def _summary(row: Threshold) -> tuple[str, ...]:
    return (
        f"`{row.name}`",
        f"[{row.alert}](runbooks/{row.alert}.md)",
        f"{row.comparison.value} {row.spoken_limit()}{'' if row.stated else ' *'}",
        row.hold if row.hold_s else "at once",
        row.priority.value,
        row.owner,
        row.reason,
    )


def _objectives(document: Document) -> Iterator[str]:
    yield "## Objectives"
    yield ""
    yield from table(
        ("objective", "layer", "what is good", "share", "window", "owner", "why", "page"),
        (_objective(slo) for slo in document.slos),
    )
    yield (
        f"`{OBJECTIVE}`, `{EVENTS}`, `{ERRORS}`, `{REMAINING}` and `{burn('<window>')}` are recorded for each, "
        "with the label `slo`. A burn of 1 uses the error budget up exactly at the end of the objective's window. "
        f"Windows longer than {BASE_WINDOW} are averages of the base window, weighted with their events."
    )
    yield ""
    yield from table(
        ("burn rate", "factor", "both windows above it", "alert"),
        (
            (
                burn_rate.name,
                f"{burn_rate.factor:.10g}",
                f"{burn_rate.long} and {burn_rate.short}",
                _alerts_of(document, burn_rate.name),
            )
            for burn_rate in document.burn_rates
        ),
    )
    yield from table(
        ("objective", "bad and all events"),
        (
            (f"`{slo.name}`", "<br>".join(f"{what}: `{text}`" for what, text in _indicators(slo)))
            for slo in document.slos
        ),
    )


def _objective(slo: Slo) -> tuple[str, ...]:
    page = slo.runbook.removeprefix("docs/")
    return (
        f"`{slo.name}`",
        slo.layer,
        slo.description,
        f"{slo.objective * 100:.10g} %",
        slo.window,
        slo.owner,
        slo.reason,
        f"[{page.removeprefix('runbooks/').removesuffix('.md')}]({page})",
    )


def _alerts_of(document: Document, rate: str) -> str:
    used = {slo.priorities[rate] for slo in document.slos}
    return ", ".join(
        f"[{ALERT_OF_PRIORITY[severity]}](runbooks/{ALERT_OF_PRIORITY[severity]}.md) ("
        + ", ".join(slo.name for slo in document.slos if slo.priorities[rate] is severity)
        + ")"
        for severity in Severity
        if severity in used
    )


def _indicators(slo: Slo) -> Iterator[tuple[str, str]]:
    for what, text in (("good", slo.good), ("bad", slo.bad), ("all", slo.total)):
        if text:
            yield what, " ".join(text.split())


def _quiet(rows: tuple[Inhibition, ...]) -> Iterator[str]:
    yield "## What keeps what quiet"
    yield ""
    yield "An alert of the first column inhibits those in the second, where the labels are equal."
    yield ""
    yield from table(
        ("while this fires", "these are quiet", "same", "why"),
        (
            (
                ", ".join(f"`{name}`" for name in row.source),
                ", ".join(f"`{name}`" for name in row.targets),
                ", ".join(f"`{label}`" for label in row.equal),
                row.reason,
            )
            for row in rows
        ),
    )
