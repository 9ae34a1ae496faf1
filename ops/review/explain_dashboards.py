"""Dashboards in plain words: which appear or go, and whose panels show something else."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ops.review.phrasing import Statement, Subject, came_and_went, code, listed
from ops.review.pods import elements
from policy.documents import files, parse
from policy.model import Resource, UnknownValueError


def dashboards(before: Sequence[Resource], after: Sequence[Resource]) -> Iterator[Statement]:
    """Changes of dashboards, in ConfigMaps or as resources of their own."""
    old, new = _found(before), _found(after)
    added, gone, changed = came_and_went(old, new)
    for name in added:
        yield _about(f"new dashboard {_title(new[name])}")
    for name in gone:
        yield _about(f"dashboard {_title(old[name])} is gone", weakens=True)
    for name in changed:
        yield from _dashboard(old[name], new[name])


def _dashboard(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Statement]:
    title = _title(new)
    was, now = _panels(old), _panels(new)
    added, gone, changed = came_and_went(was, now)
    for panel in added:
        yield _about(f"dashboard {title}: new panel {panel}")
    for panel in gone:
        yield _about(f"dashboard {title}: panel {panel} is gone", weakens=True)
    for panel in changed:
        before, after = _queries(was[panel]), _queries(now[panel])
        if before != after:
            shown = [listed(code(query) for query in queries) or "nothing" for queries in (after, before)]
            yield _about(f"dashboard {title}: panel {panel} shows {shown[0]} instead of {shown[1]}")
        else:
            yield _about(f"dashboard {title}: panel {panel} looks different")
    keys = [key for key in {**old, **new} if key not in ("panels", "version") and old.get(key) != new.get(key)]
    if keys:
        yield _about(f"dashboard {title}: {listed(sorted(keys))} changed")


def _found(resources: Sequence[Resource]) -> dict[str, Mapping[str, Any]]:
    """Dashboards by their identity."""
    models: dict[str, Mapping[str, Any]] = {}
    for resource in resources:
        for content in _contents(resource):
            if isinstance(content, Mapping) and isinstance(content.get("panels"), list) and "title" in content:
                models[str(content.get("uid") or content["title"])] = content
    return models


def _contents(resource: Resource) -> Iterator[Any]:
    text = resource.props.get("configJson")
    if resource.kind == "Dashboard" and isinstance(text, str):
        try:
            yield json.loads(text)
        except ValueError:
            return
    try:
        for name, content in files(resource):
            if name.endswith(".json"):
                yield parse(name, content)[1]
    except UnknownValueError:
        return


def _panels(dashboard: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Panels by title (rows opened); equal titles are numbered."""
    panels: dict[str, Mapping[str, Any]] = {}
    pending = list(elements(dashboard.get("panels")))
    while pending:
        panel = pending.pop(0)
        if not isinstance(panel, Mapping):
            continue
        pending = [*elements(panel.get("panels")), *pending]
        title = str(panel.get("title") or f"without title ({panel.get('type')})")
        number = sum(name == title or name.startswith(f"{title} (") for name in panels)
        panels[f"{title} ({number + 1})" if number else title] = {
            key: value for key, value in panel.items() if key not in ("panels", "id", "gridPos")
        }
    return panels


def _queries(panel: Mapping[str, Any]) -> list[str]:
    targets = [target for target in elements(panel.get("targets")) if isinstance(target, Mapping)]
    return [str(target.get("expr") or target.get("query") or target) for target in targets]


def _title(dashboard: Mapping[str, Any]) -> str:
    return str(dashboard["title"])


def _about(text: str, *, weakens: bool = False) -> Statement:
    return Statement(Subject.DASHBOARDS, text, weakens)
