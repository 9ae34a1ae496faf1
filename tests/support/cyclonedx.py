"""CycloneDX documents by their published schema: ``bom-1.5.schema.json`` as cyclonedx-python-lib 11.12.0 carries it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

_FILE = Path(__file__).with_name("bom-1.5.schema.json")
_NOT_USED: dict[str, Any] = {
    "http://cyclonedx.org/schema/spdx.schema.json": {"enum": []},
    "http://cyclonedx.org/schema/jsf-0.82.schema.json": {"definitions": {"signature": False}},
}
"""Schemas of licences and of signatures: our documents have neither, and these refuse both."""


def validated(content: bytes) -> dict[str, Any]:
    """A document that the schema admits and in which each reference has one meaning."""
    document: dict[str, Any] = json.loads(content)
    resources = [(name, Resource(contents=schema, specification=DRAFT7)) for name, schema in _NOT_USED.items()]
    schema = json.loads(_FILE.read_text(encoding="utf-8"))
    jsonschema.Draft7Validator(schema, registry=Registry().with_resources(resources)).validate(document)
    references = [component["bom-ref"] for component in document["components"]]
    assert len(references) == len(set(references))
    return document


def package_urls(document: dict[str, Any]) -> set[str]:
    """Package URLs of all components that have one."""
    return {component["purl"] for component in document["components"] if "purl" in component}
