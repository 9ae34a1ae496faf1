"""A dashboard's model as text that compares: what Grafana adds and how it is spaced and ordered does not count."""

from __future__ import annotations

import json
from typing import Any, Final

from lab.pulumi_host.values import Properties

_BY_GRAFANA: Final = ("id", "version")
_OF_A_LIBRARY_PANEL: Final = ("name", "uid")


def parse(text: str) -> Properties | None:
    """Return the model, or nothing if the text is no JSON object."""
    try:
        model = json.loads(text)
    except json.JSONDecodeError:
        return None
    return model if isinstance(model, dict) else None


def normal(model: Properties) -> str:
    """Return a model as text without what Grafana keeps itself: number and version of the dashboard."""
    own = {key: value for key, value in model.items() if key not in _BY_GRAFANA}
    return json.dumps(_plain(own), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def as_written(live: Properties, written: Properties) -> Properties:
    """Return Grafana's model without the identities that it drew because the written model has none."""
    model = dict(live)
    if "uid" not in written:
        model.pop("uid", None)
    if isinstance(live.get("panels"), list) and isinstance(written.get("panels"), list):
        model["panels"] = _panels_as_written(live["panels"], written["panels"])
    return model


def _panels_as_written(live: list[Any], written: list[Any]) -> list[Any]:
    panels = list(live)
    for place, (seen, own) in enumerate(zip(live, written, strict=False)):
        if isinstance(seen, dict) and isinstance(own, dict):
            panels[place] = {key: value for key, value in seen.items() if key != "id" or "id" in own}
            if isinstance(seen.get("panels"), list) and isinstance(own.get("panels"), list):
                panels[place]["panels"] = _panels_as_written(seen["panels"], own["panels"])
    return panels


def _plain(value: Any) -> Any:
    """Whole numbers as such, however they were written, and of a library panel only which one it is."""
    if isinstance(value, dict):
        return {
            key: (
                {part: item[part] for part in _OF_A_LIBRARY_PANEL if part in item}
                if key == "libraryPanel" and isinstance(item, dict)
                else _plain(item)
            )
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
