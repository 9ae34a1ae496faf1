"""Writes thresholds, objectives and what keeps them quiet as Markdown: ``docs/thresholds.md``."""

from __future__ import annotations

from collections.abc import Iterator

from components.rules import Inhibition, Severity
from components.telemetry.file import NAME
from components.telemetry.layers import LAYERS
from components.telemetry.markdown import table
from components.telemetry.rules import inhibitions
from components.telemetry.schema import Document
from components.telemetry.slo_row import BASE_WINDOW, Slo
from components.telemetry.slo_rules import ALERT_OF_PRIORITY, ERRORS, EVENTS, OBJECTIVE, REMAINING, burn
from components.telemetry.threshold_row import Threshold

_STARRED = "A limit marked * is our default: the requirement asks for a watch and states no number."
_TEMPLATES = (
    "Texts for people are Prometheus' templates: `{{ $labels.x }}` and `{{ $value }}` are filled in when it fires."
)


def threshold_markdown(document: Document) -> str:
    """The whole document, ending in a line break."""
    return "\n".join(_lines(document)) + "\n"


def _lines(document: Document) -> Iterator[str]:
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
