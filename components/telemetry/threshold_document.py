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
        rows = [each for each in document.thresholds if each.layer is layer]
        if rows:
            yield ""
            yield f"### {layer.source}: {layer.name}"
            yield ""
            yield from table(
                ("threshold", "alert", "condition", "for", "priority", "owner", "why"),
                (_summary(each) for each in rows),
                last=True,
            )
    yield ""
    yield "### What is evaluated"
    yield ""
    yield from table(
        ("alert", "metrics", "PromQL"),
        (
            (f"`{each.alert}`", ", ".join(f"`{name}`" for name in each.metrics), f"`{each.expression}`")
            for each in document.thresholds
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
                f"`{each.alert}`",
                f"{each.summary}<br>{each.description}",
                f"{each.summary_ja}<br>{each.description_ja}",
            )
            for each in document.thresholds
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
        (_objective(each) for each in document.slos),
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
            (each.name, f"{each.factor:.10g}", f"{each.long} and {each.short}", _alerts_of(document, each.name))
            for each in document.burn_rates
        ),
    )
    yield from table(
        ("objective", "bad and all events"),
        (
            (f"`{each.name}`", "<br>".join(f"{what}: `{text}`" for what, text in _indicators(each)))
            for each in document.slos
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
        f"[{ALERT_OF_PRIORITY[each]}](runbooks/{ALERT_OF_PRIORITY[each]}.md) ("
        + ", ".join(slo.name for slo in document.slos if slo.priorities[rate] is each)
        + ")"
        for each in Severity
        if each in used
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
                ", ".join(f"`{name}`" for name in each.source),
                ", ".join(f"`{name}`" for name in each.targets),
                ", ".join(f"`{label}`" for label in each.equal),
                each.reason,
            )
            for each in rows
        ),
    )
