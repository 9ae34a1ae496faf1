"""The masking slow path: statements for a candidate record.

They bring its texts into its attributes, flatten and normalise these, apply the rules and put everything back: as it
was, unless a rule found something.
"""

from __future__ import annotations

from collections.abc import Iterable

from components.masking.allow_list import allowed_keys
from components.masking.candidates import sensitive
from components.masking.catalogue import CHECKED_NUMBERS, RULES
from components.masking.check_digits import check_digit_statements
from components.masking.keys import HASHED_KEYS, POSITION_KEYS, whole
from components.masking.model import Phase, Rule, Step
from components.masking.normalise import NORMALISATION, NUMBERS_KEPT, PLACEHOLDER, WORDS_KEPT
from components.masking.otlp_fields import FLAG, TEXT, OtlpFields, replace
from components.masking.ottl import any_of, has, literal, pattern, quoted
from components.masking.triggers import FLAGS, GUARDS, KEY_WORDS, NESTED, ODD_KEYS, WORDS
from components.telemetry.attributes import LAYER
from components.telemetry.layers import LAYERS


def masking(fields: OtlpFields) -> Iterable[str]:
    everything, text, before = fields.attributes, fields.cache("t"), fields.cache("p")
    yield f'delete_key({everything}, "{FLAG}")'
    yield f"set({fields.cache('o')}, {everything})"
    yield f"set({before}, String({everything}))"
    yield from _flattened(fields)
    yield f"set({before}, String({everything}))"
    yield f'set({text}, ConvertCase({before}, "lower"))'
    for name, expression in FLAGS.items():
        yield f"set({fields.cache('f-' + name)}, true) where IsMatch({before}, {pattern(expression)})"
    for step in NORMALISATION:
        yield from _step(fields, step)
    yield f"set({before}, String({everything}))"
    yield f'set({text}, ConvertCase({before}, "lower"))'
    yield f"set({fields.cache('f-long')}, true) where IsMatch({before}, {pattern(FLAGS['long'])})"
    if fields.body:
        yield from _body_copied(fields, "bp")
    yield from _guards(fields)
    yield from _keys(fields)
    for step in WORDS_KEPT:
        yield from _step(fields, step)
    for rule in RULES:
        if rule.phase is Phase.SECRETS:
            yield from _rule(fields, rule)
    yield from _numbers(fields)
    yield f'replace_all_patterns({everything}, "value", "{PLACEHOLDER}", "")'
    yield from _put_back(fields)


def _guards(fields: OtlpFields) -> Iterable[str]:
    text, lower = fields.cache("p"), fields.cache("t")
    for name, expression in GUARDS.items():
        condition = (
            f"IsMatch({text}, {pattern(expression)})" if expression else f"IsMatch({lower}, {any_of(WORDS[name])})"
        )
        yield f"set({fields.cache('g-' + name)}, true) where {condition}"


def _keys(fields: OtlpFields) -> Iterable[str]:
    """Attributes that go because of their keys, and keys that themselves hold what should be masked."""
    everything, text, keys = fields.attributes, fields.cache("t"), fields.cache("y")
    yield f'set({keys}, ConvertCase(Concat([Keys({everything})], ""), "lower"))'
    worth_it = f"where IsMatch({keys}, {pattern(KEY_WORDS)})"
    yield f"delete_matching_keys({everything}, {pattern(whole(sensitive()))}) {worth_it}"
    precise = rf"(?:{POSITION_KEYS.pattern})(?:\.\d+)*\":\"?[+-]?\d{{1,3}}\.\d{{3,}}"
    where = f"where {fields.cache('g-decimal')} == true and IsMatch({text}, {pattern(precise)})"
    yield f"delete_matching_keys({everything}, {pattern(whole(POSITION_KEYS.pattern))}) {where}"
    odd = "|".join(f"(?:{rule.pattern})" for rule in RULES if rule.keys)
    yield f"delete_matching_keys({everything}, {pattern(odd)}) where IsMatch({keys}, {pattern(ODD_KEYS)})"


def _flattened(fields: OtlpFields) -> Iterable[str]:
    everything, nested = fields.attributes, fields.cache("h")
    where = f"where {has(fields.cache('p'), NESTED[0])} or {has(fields.cache('p'), NESTED[1])}"
    yield f"set({nested}, {everything}) {where}"
    yield f"keep_matching_keys({nested}, {pattern(whole(HASHED_KEYS.pattern))}) where {nested} != nil"
    yield f"flatten({everything}, resolveConflicts=true) where {nested} != nil"
    count = fields.cache("n")
    yield f"set({count}, Len({everything})) where {nested} != nil"
    yield f"delete_matching_keys({everything}, {pattern(whole(HASHED_KEYS.pattern))}) where {nested} != nil"
    yield f'merge_maps({everything}, {nested}, "upsert") where {nested} != nil'
    yield f"set({fields.cache('d')}, true) where {nested} != nil and Len({everything}) != {count}"
    for number, path in enumerate(fields.texts):
        yield f'set({everything}["{TEXT}.{number}"], {path})'
    if fields.body:
        body, key = fields.body, f'{everything}["{TEXT}.body"]'
        nested = f"IsMap({body}) or IsList({body})"
        yield f"set({key}, {body}) where IsString({body}) or {nested}"
        yield f"set({key}, String({body})) where IsInt({body}) or IsDouble({body})"
        yield f"flatten({everything}, resolveConflicts=true) where {nested}"


def _step(fields: OtlpFields, step: Step) -> Iterable[str]:
    flagged = f"{fields.cache('f-' + step.flag)} == true" if step.flag else ""
    where = f" where {flagged or f'IsMatch({fields.cache(chr(116))}, {pattern(step.guard)})'}"
    for mode in ("value", *(("key",) if step.keys else ())):
        yield replace(fields, step.pattern, step.replacement, mode) + where


def _rule(fields: OtlpFields, rule: Rule) -> Iterable[str]:
    guards = " or ".join(f"{fields.cache('g-' + name)} == true" for name in rule.guards)
    for _ in range(2 if rule.again else 1):
        yield f"{replace(fields, rule.pattern, rule.replacement)} where {guards}"


def _numbers(fields: OtlpFields) -> Iterable[str]:
    everything, kept = fields.attributes, fields.cache("k")
    seen = f"where {fields.cache('g-number')} == true"
    yield f"set({kept}, {everything}) {seen}"
    for layer in LAYERS:
        keys = ", ".join(quoted(key) for key in allowed_keys(layer.name))
        its = f'{kept} != nil and resource.attributes["{LAYER}"] == "{layer.name}"'
        yield f"keep_keys({kept}, [{keys}]) where {its}"
        listed = "|".join(literal(key) for key in allowed_keys(layer.name) if key != LAYER)
        yield f"delete_matching_keys({everything}, {pattern(f'^(?:{listed})$')}) where {its}"
    for step in NUMBERS_KEPT:
        yield from _step(fields, step)
    for rule in RULES:
        if rule.phase is Phase.NUMBERS:
            yield from _rule(fields, rule)
    for number in CHECKED_NUMBERS:
        yield from check_digit_statements(fields, number)
    yield f'merge_maps({everything}, {kept}, "upsert") where {kept} != nil'


def _body_copied(fields: OtlpFields, name: str) -> Iterable[str]:
    copy = fields.cache("b")
    where = f"where IsMap({fields.body}) or IsList({fields.body})"
    yield f"set({copy}, {fields.attributes}) {where}"
    yield f'keep_matching_keys({copy}, "^obs\\\\.text\\\\.body\\\\.") {where}'
    yield f'replace_all_patterns({copy}, "key", "^obs\\\\.text\\\\.body\\\\.", "") {where}'
    yield f"set({fields.cache(name)}, String({copy})) {where}"


def _put_back(fields: OtlpFields) -> Iterable[str]:
    everything, changed = fields.attributes, fields.cache("d")
    yield f"set({changed}, true) where String({everything}) != {fields.cache('p')}"
    dirty = f"{changed} == true"
    for number, path in enumerate(fields.texts):
        key = f'{everything}["{TEXT}.{number}"]'
        yield f"set({path}, {key}) where {dirty} and {key} != nil"
    if fields.body:
        body, key = fields.body, f'{everything}["{TEXT}.body"]'
        single = f"not IsMap({body}) and not IsList({body})"
        yield f"set({body}, {key}) where {dirty} and {key} != nil and {single} and {key} != String({body})"
        yield from _body_copied(fields, "bq")
        was, now = fields.cache("bp"), fields.cache("bq")
        yield f"set({body}, {fields.cache('b')}) where {now} != nil and {now} != {was}"
    yield f'delete_matching_keys({everything}, "^obs\\\\.text\\\\.") where {dirty}'
    yield f"set({everything}, {fields.cache('o')}) where {changed} == nil"
