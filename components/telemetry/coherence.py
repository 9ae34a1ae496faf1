"""Reads ``thresholds.yaml`` by its schema, and checks that its entries fit together."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator

from pydantic import ValidationError

from components.rules import Severity
from components.telemetry.fields import validation_errors
from components.telemetry.file import REGISTRY_NAME
from components.telemetry.registry import REGISTRY, label_reserved, metric_reserved, service_reserved
from components.telemetry.schema import Document, Slo, Threshold

_URGENCY = list(Severity)


def judge(content: object) -> Document | list[str]:
    """Read a parsed file.

    Args:
        content: What YAML made of it.

    Returns:
        The file with its texts filled in, or one line per mistake.
    """
    try:
        document = Document.model_validate_json(json.dumps(content, default=str))
    except ValidationError as error:
        return list(validation_errors(error, Document, content))
    return list(_incoherent(document)) or _worded(document)


def _worded(document: Document) -> Document:
    """The same with limits filled into texts and indicators."""
    limiting = {threshold.slo: threshold for threshold in document.thresholds if threshold.slo}
    return document.model_copy(
        update={
            "thresholds": tuple(threshold.worded() for threshold in document.thresholds),
            "slos": tuple(
                slo.limited(limiting[slo.name].limit, limiting[slo.name].unit) if slo.limits else slo
                for slo in document.slos
            ),
        }
    )


def _incoherent(document: Document) -> Iterator[str]:
    yield from _twice("thresholds", "name", (threshold.name for threshold in document.thresholds))
    yield from _twice("thresholds", "alert", (threshold.alert for threshold in document.thresholds))
    yield from _twice("burn_rates", "name", (burn_rate.name for burn_rate in document.burn_rates))
    yield from _twice("slos", "name", (slo.name for slo in document.slos))
    yield from _twice("services", "name", (service.name for service in document.services))
    names = (metric.name for service in document.services for metric in service.metrics)
    yield from _twice("services", "metrics.name", names)
    yield from _services(document)
    for threshold in document.thresholds:
        yield from _threshold(threshold, document)
    for slo in document.slos:
        yield from _slo(slo, document)


def _twice(section: str, key: str, values: Iterable[str]) -> Iterator[str]:
    for value, times in Counter(values).items():
        if times > 1:
            yield f"{section}: {key} {value} occurs {times} times: allowed is once; rename all but one"


def _services(document: Document) -> Iterator[str]:
    """That their attributes have one type each, and that no name is the platform's own."""
    reserved = REGISTRY.reserved
    own = [attribute.id for service in document.services for attribute in service.attributes]
    yield from _twice("services", "attributes.id", own)
    for service in document.services:
        place = f"services[{service.name}]"
        if service_reserved(service.name, reserved.services):
            yield f"{place}.name is {service.name!r}: allowed is none of the platform's own services; rename it"
        for attribute in service.attributes:
            if attribute.id in REGISTRY.types:
                yield (
                    f"{place}.attributes[{attribute.id}] is defined in {REGISTRY_NAME}/attributes.yaml: allowed is one "
                    "definition; remove this one"
                )
            if label_reserved(attribute.id, reserved.labels):
                yield f"{place}.attributes[{attribute.id}] is the platform's own label: allowed is another; rename it"
        for metric in service.metrics:
            where = f"{place}.metrics[{metric.name}]"
            if metric_reserved(metric.name, reserved.metrics):
                yield f"{where}.name is the platform's own: allowed is another name; rename it"
            for key in metric.attributes:
                if key not in own and key not in REGISTRY.types:
                    yield (
                        f"{where}.attributes has {key!r}, which has no type: allowed are those of {REGISTRY_NAME}/"
                        f"attributes.yaml and of `services`; add it to {place}.attributes"
                    )


def _owner(place: str, owner: str, document: Document) -> Iterator[str]:
    if owner not in document.owners:
        yield (
            f"{place}.owner is {owner!r}: allowed is one of {', '.join(document.owners)}; correct it, or add the team "
            "to `owners`"
        )


def _threshold(threshold: Threshold, document: Document) -> Iterator[str]:
    place = f"thresholds[{threshold.name}]"
    yield from _owner(place, threshold.owner, document)
    page = f"docs/runbooks/{threshold.alert}.md"
    if threshold.runbook != page:
        yield f"{place}.runbook is {threshold.runbook!r}: allowed is {page!r}; name the page after the alert"
    slos = [slo.name for slo in document.slos]
    if threshold.slo is not None and threshold.slo not in slos:
        yield f"{place}.slo is {threshold.slo!r}: allowed is one of {', '.join(slos)}; correct it, or remove the key"
    alerts = {known_threshold.alert: known_threshold.priority for known_threshold in document.thresholds} | dict(
        document.alerts_elsewhere
    )
    for position, inhibitor in enumerate(threshold.inhibited_by):
        where = f"{place}.inhibited_by[{position}].alert is {inhibitor.alert!r}"
        if inhibitor.alert not in alerts:
            yield f"{where}: allowed is an alert of this file or of `alerts_elsewhere`; correct it"
        elif inhibitor.alert == threshold.alert:
            yield f"{where}: allowed is another alert; an alert cannot make itself superfluous"
        elif _URGENCY.index(alerts[inhibitor.alert]) > _URGENCY.index(threshold.priority):
            yield (
                f"{where}, priority {alerts[inhibitor.alert]}: allowed is one that is at least as urgent as "
                f"{threshold.alert} ({threshold.priority}), else people would hear of it too late; remove it"
            )


def _slo(slo: Slo, document: Document) -> Iterator[str]:
    place = f"slos[{slo.name}]"
    yield from _owner(place, slo.owner, document)
    speeds = [burn_rate.name for burn_rate in document.burn_rates]
    if sorted(slo.priorities) != sorted(speeds):
        yield (
            f"{place}.priorities has the keys {', '.join(slo.priorities) or 'none'}: allowed is each of "
            f"{', '.join(speeds)}; give every burn rate a priority"
        )
    limiting = [threshold.name for threshold in document.thresholds if threshold.slo == slo.name]
    if slo.limits and len(limiting) != 1:
        yield (
            f"{place} uses {{limit}}, but {len(limiting)} thresholds name it ({', '.join(limiting) or 'none'}): "
            f"allowed is one; write `slo: {slo.name}` at the threshold that is meant"
        )
