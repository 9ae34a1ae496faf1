"""The JSON schema of a stack file, for editors: generated from the settings, with what their docstrings say of keys."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from stacks.settings import CONFIG_KEY, CONFIG_NAMESPACE, ROLE_KEY, Role, Settings

FILE: Final = Path(__file__).resolve().parents[1] / "docs" / "schemas" / "stack-file.json"
_ENTRY: Final = re.compile(r"((?:\w+, )*\w+): (.+)")


class _Generator(GenerateJsonSchema):
    """Schemas without titles, which repeat the key, and with descriptions from docstrings."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """No key has a title."""
        del schema
        return False

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """The schema of a group of keys."""
        generated = super().model_schema(schema)
        generated.pop("title", None)
        summary, attributes = described(schema["cls"])
        generated["description"] = summary
        for name, text in attributes.items():
            # A reference may have a description beside it only in newer drafts; editors show that of its target.
            if "$ref" not in generated["properties"].get(name, {"$ref": ""}):
                generated["properties"][name]["description"] = text
        return generated

    def generate(self, schema: CoreSchema, mode: Any = "validation") -> JsonSchemaValue:
        """The whole schema of a stack file: the settings are one of its keys."""
        settings = super().generate(schema, mode)
        definitions = settings.pop("$defs")
        return {
            "$schema": self.schema_dialect,
            "title": "Stack file of the monitoring platform",
            "type": "object",
            "required": ["config"],
            "properties": {
                "config": {
                    "type": "object",
                    "required": [f"{CONFIG_NAMESPACE}:{ROLE_KEY}", f"{CONFIG_NAMESPACE}:{CONFIG_KEY}"],
                    "properties": {
                        f"{CONFIG_NAMESPACE}:{ROLE_KEY}": {"enum": [str(role) for role in Role]},
                        f"{CONFIG_NAMESPACE}:{CONFIG_KEY}": settings,
                    },
                }
            },
            "$defs": definitions,
        }


def described(model: type[BaseModel]) -> tuple[str, dict[str, str]]:
    """What a docstring says: of the whole, and of each key in its section ``Attributes``."""
    whole, _, listed = (inspect.getdoc(model) or "").partition("\nAttributes:\n")
    entries: dict[str, str] = {}
    names: list[str] = []
    for line in filter(None, inspect.cleandoc(listed).splitlines()):
        entry = None if line.startswith(" ") else _ENTRY.fullmatch(line)
        if entry:
            names = entry[1].split(", ")
            entries |= dict.fromkeys(names, entry[2])
        else:
            entries |= {name: f"{entries[name]} {line.strip()}" for name in names}
    return " ".join(whole.replace("``", "").split()), {name: text.replace("``", "") for name, text in entries.items()}


def text() -> str:
    """The schema as the committed file has it."""
    schema = Settings.model_json_schema(schema_generator=_Generator)
    return json.dumps(schema, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
