"""Rules made of ``thresholds.yaml``: alerts of each layer, objectives, and which alert keeps which one quiet."""

from __future__ import annotations

from components.rules import Alert, Inhibition, RuleGroup, Severity
from components.telemetry.file import CatalogueError
from components.telemetry.layers import LAYERS, Layer
from components.telemetry.slo_rules import ALERT_OF_PRIORITY, slo_groups, slo_inhibitions
from components.telemetry.thresholds import DOCUMENT, Document, Threshold
from components.telemetry.validation import problems

_SOON = "5s"
_URGENT = frozenset({Severity.CRITICAL, Severity.HIGH})


def layer_groups(document: Document) -> tuple[RuleGroup, ...]:
    """One group per layer that has thresholds, in the order of the layers.

    Groups with an alert that somebody is to hear of within seconds (30 s for critical, 2 min for high) are evaluated
    every five seconds, the others as often as any: the evaluation is a part of that time.
    """
    layer = ((layer, [row for row in document.thresholds if row.layer is layer]) for layer in LAYERS)
    return tuple(_group(own_layer, rows) for own_layer, rows in layer if rows)


def inhibitions(document: Document) -> tuple[Inhibition, ...]:
    """What keeps an alert quiet: that of a cause, and that of a threshold for those of the objective it spends."""
    return (
        *(
            Inhibition(source=(inhibitor.alert,), targets=(row.alert,), equal=inhibitor.equal, reason=inhibitor.reason)
            for row in document.thresholds
            for inhibitor in row.inhibited_by
        ),
        *slo_inhibitions(document),
    )


def sound(document: Document) -> Document:
    """The document, unless it contradicts the catalogue.

    Raises:
        CatalogueError: It does; one line per contradiction.
    """
    errors = problems(thresholds=document.thresholds, slos=document.slos)
    if errors:
        raise CatalogueError("\n".join(errors))
    return document


def _group(layer: Layer, rows: list[Threshold]) -> RuleGroup:
    alerts = tuple(_alert(row) for row in rows)
    name = f"layer-{layer.name}"
    if any(alert.severity in _URGENT for alert in alerts):
        return RuleGroup(name=name, rules=alerts, interval=_SOON)
    return RuleGroup(name=name, rules=alerts)


def _alert(row: Threshold) -> Alert:
    return Alert(
        name=row.alert,
        expr=row.expression,
        for_=row.hold,
        severity=row.priority,
        summary=row.summary,
        description=row.description,
        labels={"layer": row.layer.name, "owner": row.owner, **({"slo": row.slo} if row.slo else {})},
        annotations={"summary_ja": row.summary_ja, "description_ja": row.description_ja},
    )


RULES: tuple[RuleGroup, ...] = (*layer_groups(sound(DOCUMENT)), *slo_groups(DOCUMENT))
"""All groups."""
INHIBITIONS: tuple[Inhibition, ...] = inhibitions(DOCUMENT)
"""Inhibitions that belong to them."""
SLO_ALERTS: tuple[str, ...] = tuple(ALERT_OF_PRIORITY.values())
"""Names of the alerts about error budgets."""
