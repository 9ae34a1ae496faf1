"""JSON Schemas of both topics, from the models: ``python -m services.alert_events.schema docs/schemas`` writes them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from services.alert_events.events import VERSION, AlertEvent, ProcessedEvent, RawEvent

MODELS: dict[str, type[AlertEvent]] = {
    f"alert-events-raw.v{VERSION}.json": RawEvent,
    f"alert-events-processed.v{VERSION}.json": ProcessedEvent,
}
"""File name -> what it describes."""


def schema(model: type[AlertEvent]) -> dict[str, Any]:
    """JSON Schema (2020-12) of what is written; fields that it does not name may be there, too."""
    model_json_schema = model.model_json_schema(by_alias=True, mode="serialization")
    for field in model_json_schema["properties"].values():
        del field["title"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **model_json_schema}


def text(model: type[AlertEvent]) -> str:
    """Content of the file."""
    return json.dumps(schema(model), indent=2) + "\n"


def main(folder: Path) -> None:
    """Write the files."""
    for name, model in MODELS.items():
        (folder / name).write_text(text(model))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
