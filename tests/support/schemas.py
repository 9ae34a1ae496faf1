"""JSON schemas of the Kubernetes objects that the platform makes, for kubeconform.

They are taken from the sources that the embedded cluster is built from, so that what the check accepts is what that API
server accepts. Every object is closed to unknown keys.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from lab import LabError, paths
from lab.toolchain.recipes import KUBERNETES, RECIPES, VERTICAL_AUTOSCALER_MODULE, GoTool

LOCATION = "{{.ResourceKind}}{{.KindSuffix}}.json"
"""How kubeconform finds a schema inside the folder."""
_PREFIX = "#/definitions/"
_REPLACED: dict[str, dict[str, Any]] = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"type": ["string", "integer"]},
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": ["string", "number"]},
}


def folder() -> Path:
    """Folder of the schemas, made at first use.

    Raises:
        LabError: The sources are not there.
    """
    cert_manager, autoscaler = _module_version("cert-manager"), _module_version("vertical-pod-autoscaler")
    versions = f"kubernetes-{KUBERNETES}-cert-manager-{cert_manager}-vertical-pod-autoscaler-{autoscaler}"
    target = paths.cache_root() / "schemas" / versions
    if target.is_dir():
        return target
    modules = _modules()
    swagger = modules / f"k8s.io/kubernetes@v{KUBERNETES}" / "api/openapi-spec/swagger.json"
    crds = modules / f"github.com/cert-manager/cert-manager@{cert_manager}" / "deploy/crds"
    sizes = modules / f"{VERTICAL_AUTOSCALER_MODULE}@{autoscaler}" / "deploy/vpa-v1-crd-gen.yaml"
    for needed, tool in ((swagger, "kubernetes"), (crds, "cert-manager"), (sizes, "vertical-pod-autoscaler")):
        if not needed.exists():
            raise LabError(f"{needed} is not there: run `python -m lab tools {tool}`")
    temporary = target.with_name(f"{target.name}.{os.getpid()}")
    temporary.mkdir(parents=True)
    for name, schema in (
        *_kubernetes(json.loads(swagger.read_text())),
        *_custom([*sorted(crds.glob("*.yaml")), sizes]),
    ):
        (temporary / name).write_text(json.dumps(schema))
    try:
        temporary.rename(target)
    except OSError:
        if not target.is_dir():
            raise
    return target


def _kubernetes(swagger: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """File name and schema of every built-in kind."""
    definitions: dict[str, Any] = swagger["definitions"]
    for name, definition in definitions.items():
        for kind in definition.get("x-kubernetes-group-version-kind", ()):
            if len(definition["x-kubernetes-group-version-kind"]) > 1:
                continue
            reachable = _reachable(name, definitions)
            schema = {
                "$ref": f"{_PREFIX}{name}",
                "definitions": {
                    definition_name: _REPLACED.get(definition_name) or _closed(definitions[definition_name])
                    for definition_name in sorted(reachable)
                },
            }
            yield _file_name(kind["kind"], kind["group"], kind["version"]), schema


def _custom(files: Iterable[Path]) -> Iterator[tuple[str, dict[str, Any]]]:
    """File name and schema of every kind that files define."""
    documents = (document for file in files for document in yaml.safe_load_all(file.read_text()) if document)
    for definition in (document["spec"] for document in documents):
        for version in definition["versions"]:
            schema = _closed(version["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = {"type": "object"}
            yield _file_name(definition["names"]["kind"], definition["group"], version["name"]), schema


def _file_name(kind: str, group: str, version: str) -> str:
    """``statefulset-apps-v1.json``."""
    short = group.split(".", maxsplit=1)[0]
    return "-".join(part for part in (kind.lower(), short, version) if part) + ".json"


def _reachable(name: str, definitions: dict[str, Any]) -> set[str]:
    """A definition and all that it refers to."""
    visited: set[str] = set()
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current in visited:
            continue
        visited.add(current)
        if current not in _REPLACED:
            waiting += list(_references(definitions[current]))
    return visited


def _references(schema: Any) -> Iterator[str]:
    """Names that a schema refers to."""
    if isinstance(schema, dict):
        reference = schema.get("$ref")
        if isinstance(reference, str):
            yield reference.removeprefix(_PREFIX)
        for inner in schema.values():
            yield from _references(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from _references(inner)


def _closed(schema: Any) -> Any:
    """A copy that refuses unknown keys."""
    if isinstance(schema, list):
        return [_closed(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    copy = {key: _closed(inner) for key, inner in schema.items() if key != "description"}
    if (
        isinstance(copy.get("properties"), dict)
        and "additionalProperties" not in copy
        and not copy.get("x-kubernetes-preserve-unknown-fields")
    ):
        copy["additionalProperties"] = False
    if copy.get("x-kubernetes-int-or-string"):
        copy.pop("anyOf", None)
        copy["type"] = ["integer", "string"]
    return copy


def _modules() -> Path:
    """Go's module cache."""
    try:
        process = subprocess.run(["go", "env", "GOMODCACHE"], capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError) as error:
        raise LabError(f"go is needed to find the sources of Kubernetes: {error}") from None
    return Path(process.stdout.strip())


def _module_version(tool: str) -> str:
    for recipe in RECIPES:
        if isinstance(recipe, GoTool) and recipe.name == tool:
            return recipe.module_version
    raise LabError(f"{tool} is not a tool of this project: see lab/toolchain/recipes.py")
