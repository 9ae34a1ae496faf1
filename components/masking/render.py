"""Collector processors from the rules (requirement O3): a transform in OTTL and a redaction that hashes ids.

Every record goes through two groups of statements. The first asks whether anything in it could match and marks it; the
second, `components.masking.statements`, works on the marked ones only.
"""

from __future__ import annotations

from collections.abc import Sequence

from components.collector.config import Data, scoped, statement_key
from components.masking.candidates import candidate_condition, mark_candidates
from components.masking.keys import HASHED_KEYS, anchored
from components.masking.otlp_fields import FLAG, MASKED_FIELDS, OtlpFields
from components.masking.ottl import escaped, quoted
from components.masking.resource_scope import metric_groups, resource_groups, scope_groups
from components.masking.statements import masking
from components.telemetry.attributes import DEVICE_ID, SERVICE_INSTANCE_ID
from components.telemetry.layers import Signal

MASK = "transform/mask"
HASH = "redaction/ids"
SAME_AS_DEVICE = "transform/instance"
HASH_KEY_FILE = "/etc/otelcol-auth/hash-key"

_SAME = "obs.same-as-device"


def masking_processors(hash_key_file: str = HASH_KEY_FILE) -> Data:
    """The processors, by name, in no particular order; `MASKING_ORDER` has theirs."""
    return {
        SAME_AS_DEVICE: _instance_marked(),
        HASH: {
            "allow_all_keys": True,
            "blocked_key_patterns": [escaped(anchored(HASHED_KEYS.pattern))],
            "redact_all_types": True,
            "hash_function": "hmac-sha256",
            "hmac_key": f"${{file:{hash_key_file}}}",
            "summary": "silent",
        },
        MASK: _transform(),
    }


MASKING_ORDER: tuple[str, ...] = (SAME_AS_DEVICE, HASH, MASK)


def _instance_marked() -> Data:
    """A device's instance id is its device id: the hash of the one is that of the other."""
    instance, device = _attribute(SERVICE_INSTANCE_ID), _attribute(DEVICE_ID)
    mark = f"set({instance}, {quoted(_SAME)}) where {device} != nil and {instance} == {device}"
    return {"error_mode": "propagate", **{statement_key(signal): [scoped("resource", [mark])] for signal in Signal}}


def _attribute(key: str) -> str:
    return f'resource.attributes["{key}"]'


def _transform() -> Data:
    own, device = _attribute(SERVICE_INSTANCE_ID), _attribute(DEVICE_ID)
    instance = f"set({own}, {device}) where {own} == {quoted(_SAME)}"
    result: Data = {"error_mode": "propagate"}
    resource_and_scope = [scoped("resource", [instance]), *resource_groups(), *scope_groups()]
    for signal in Signal:
        groups = [*resource_and_scope, *(group for fields in MASKED_FIELDS[signal] for group in _groups(fields))]
        if signal is Signal.METRICS:
            groups += metric_groups()
        result[statement_key(signal)] = groups
    return result


def _groups(fields: OtlpFields) -> list[Data]:
    first = {**scoped(fields.context, mark_candidates(fields)), "conditions": [candidate_condition(fields)]}
    second = {
        **scoped(fields.context, list(masking(fields))),
        "conditions": [f'{fields.attributes}["{FLAG}"] != nil'],
    }
    return [first, second]


def statements_in(processors: Data) -> Sequence[str]:
    """All OTTL statements of the processors."""
    return [
        statement
        for processor in processors.values()
        for groups in processor.values()
        if isinstance(groups, list)
        for group in groups
        if isinstance(group, dict)
        for statement in group["statements"]
    ]
