"""Candidates for the masking slow path: conditions from `components.masking.triggers` and `fast_path`."""

from __future__ import annotations

from components.masking.fast_path import LABELLED, LABELS, SPELLED, fast_path_pattern
from components.masking.keys import POSITION_KEYS, REMOVED_KEYS
from components.masking.otlp_fields import FLAG, OtlpFields
from components.masking.ottl import any_of, has, pattern
from components.masking.triggers import ENCODED, GATES, KEY_WORDS, NESTED, ODD, WORDS

HASHED = '"[0-9a-f]{64}"'
"""A value that is a keyed hash; most of them hold a run of digits that resembles a phone number."""


def as_text(fields: OtlpFields) -> str:
    parts = (fields.attributes, *fields.texts, *((fields.body,) if fields.body else ()))
    return f'Concat([{", ".join(parts)}], "\\n")'


def candidate_condition(fields: OtlpFields) -> str:
    if not fields.texts and not fields.body:
        return f"Len({fields.attributes}) > 0 and not IsMatch({fields.attributes}, {pattern(fast_path_pattern(0))})"
    paths = (*fields.texts, *((fields.body,) if fields.body else ()))
    known = pattern(fast_path_pattern(len(paths)))
    texts = f'Concat([{", ".join(paths)}], " ")' if len(paths) > 1 else paths[0]
    labelled = f"(IsMatch({texts}, {pattern(LABELLED)}) and IsMatch({texts}, {pattern(LABELS)}))"
    return f"not IsMatch({as_text(fields)}, {known}) or {has(texts, SPELLED)} or {labelled}"


def mark_candidates(fields: OtlpFields) -> list[str]:
    whole_text, lower, keys = fields.cache("u"), fields.cache("t"), fields.cache("y")
    conditions = [f"IsMatch({whole_text}, {pattern(odd)})" for odd in (ODD,)]
    conditions += [has(whole_text, marker) for marker in (*NESTED, *ENCODED)]
    conditions += [f"(IsMatch({keys}, {pattern(KEY_WORDS)}) and IsMatch({keys}, {pattern(_sensitive_in_list())}))"]
    for gate, names in GATES.items():
        words = any_of(word for name in names for word in WORDS[name])
        conditions.append(f"(IsMatch({whole_text}, {pattern(gate)}) and IsMatch({lower}, {words}))")
    return [
        f"set({whole_text}, {as_text(fields)})",
        f'replace_pattern({whole_text}, {pattern(HASHED)}, "")',
        f'set({lower}, ConvertCase({whole_text}, "lower"))',
        f'set({keys}, ConvertCase(String(Keys({fields.attributes})), "lower"))',
        f'set({fields.attributes}["{FLAG}"], true) where {" or ".join(conditions)}',
    ]


def sensitive() -> str:
    return "|".join(f"(?:{rule.pattern})" for rule in REMOVED_KEYS)


def _sensitive_in_list() -> str:
    """The keys of a record stand in a list, in quotes."""
    return rf"[\"._\-/ :](?:{sensitive()}|{POSITION_KEYS.pattern})(?:[._]*\d+)*\""
