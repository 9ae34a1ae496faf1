"""Masking statements for resources, scopes and metric descriptors.

Their texts are few, short and mostly fixed when a program is written. They are not normalised, and what a number is
they do not tell by check digits.
"""

from __future__ import annotations

from collections.abc import Iterable

from components.collector.config import Data, scoped
from components.masking.catalogue import EVERY
from components.masking.ottl import escaped, has, pattern, quoted
from components.masking.triggers import NESTED, ODD
from components.telemetry.attributes import SERVICE_VERSION

_VERSIONS = (SERVICE_VERSION, "os.version", "telemetry.sdk.version")
_VERSION = r"^[vV]?\d{1,5}(?:\.\d{1,5}){1,4}(?:[+-][0-9A-Za-z.]{1,20})?$"
_WORDS = (
    r"(?i)pass|private|box |pwd|secret|token|bearer|auth|cookie|[_-]key|eyj|akia|asia|gh[pousr]_"
    r"|xox|k_live|k_test|sk-|aiza|glpat|npm_|hf_|::"
)


def _odd(text: str) -> list[str]:
    return [f"IsMatch({text}, {pattern(expression)})" for expression in (ODD, _WORDS)]


def _masked(path: str) -> Iterable[str]:
    for rule in EVERY:
        replacement = quoted(escaped(rule.replacement))
        yield f'replace_all_patterns({path}, "value", {pattern(rule.pattern)}, {replacement})'


def resource_groups() -> list[Data]:
    """Values of resource attributes, of which the catalogue's are kept later; versions are left alone."""
    attributes = "resource.attributes"
    nested = " or ".join(has(attributes, marker) for marker in NESTED)
    kept = [(f'{attributes}["{key}"]', f'resource.cache["{key}"]') for key in _VERSIONS]
    statements = [
        f"flatten({attributes}, resolveConflicts=true) where {nested}",
        *(
            f"set({copy}, {path}) where IsString({path}) and IsMatch({path}, {pattern(_VERSION)})"
            for path, copy in kept
        ),
        *_masked(attributes),
        *(f"set({path}, {copy}) where {copy} != nil" for path, copy in kept),
    ]
    return [{**scoped("resource", statements), "conditions": _odd(attributes)}]


def scope_groups() -> list[Data]:
    """No attribute of a scope is kept: conventions define none, and the gateway adds its own later."""
    return [scoped("scope", ["keep_keys(scope.attributes, [])"]), _texts("scope", ("name", "version"))]


def metric_groups() -> list[Data]:
    """Names and descriptions of metrics; metadata has no place in the platform."""
    return [scoped("metric", ["keep_keys(metric.metadata, [])"]), _texts("metric", ("name", "description", "unit"))]


def _texts(context: str, names: tuple[str, ...]) -> Data:
    texts = f'{context}.cache["m"]'
    statements = [
        *(f'set({texts}["{name}"], {context}.{name})' for name in names),
        *_masked(texts),
        *(f'set({context}.{name}, {texts}["{name}"])' for name in names),
    ]
    paths = ", ".join(f"{context}.{name}" for name in names)
    return {**scoped(context, statements), "conditions": _odd(f'Concat([{paths}], "\\n")')}
