"""Which records are looked at closely: statements and conditions from `components.masking.triggers` and `plain`."""

from __future__ import annotations

from components.masking.keys import POSITION_KEYS, REMOVED_KEYS
from components.masking.ottl import any_of, has, pattern
from components.masking.place import FLAG, Place
from components.masking.plain import LABELLED, LABELS, SPELLED, plain
from components.masking.triggers import ENCODED, GATES, KEY_WORDS, NESTED, ODD, WORDS

HASHED = '"[0-9a-f]{64}"'
"""A value that is a keyed hash; most of them hold a run of digits that resembles a phone number."""


def as_text(place: Place) -> str:
    parts = (place.attributes, *place.texts, *((place.body,) if place.body else ()))
    return f'Concat([{", ".join(parts)}], "\\n")'


def worth_a_look(place: Place) -> str:
    if not place.texts and not place.body:
        return f"Len({place.attributes}) > 0 and not IsMatch({place.attributes}, {pattern(plain(0))})"
    paths = (*place.texts, *((place.body,) if place.body else ()))
    known = pattern(plain(len(paths)))
    texts = f'Concat([{", ".join(paths)}], " ")' if len(paths) > 1 else paths[0]
    labelled = f"(IsMatch({texts}, {pattern(LABELLED)}) and IsMatch({texts}, {pattern(LABELS)}))"
    return f"not IsMatch({as_text(place)}, {known}) or {has(texts, SPELLED)} or {labelled}"


def marking(place: Place) -> list[str]:
    whole_text, lower, keys = place.cache("u"), place.cache("t"), place.cache("y")
    found = [f"IsMatch({whole_text}, {pattern(each)})" for each in (ODD,)]
    found += [has(whole_text, each) for each in (*NESTED, *ENCODED)]
    found += [f"(IsMatch({keys}, {pattern(KEY_WORDS)}) and IsMatch({keys}, {pattern(_sensitive_in_list())}))"]
    for gate, names in GATES.items():
        words = any_of(word for name in names for word in WORDS[name])
        found.append(f"(IsMatch({whole_text}, {pattern(gate)}) and IsMatch({lower}, {words}))")
    return [
        f"set({whole_text}, {as_text(place)})",
        f'replace_pattern({whole_text}, {pattern(HASHED)}, "")',
        f'set({lower}, ConvertCase({whole_text}, "lower"))',
        f'set({keys}, ConvertCase(String(Keys({place.attributes})), "lower"))',
        f'set({place.attributes}["{FLAG}"], true) where {" or ".join(found)}',
    ]


def sensitive() -> str:
    return "|".join(f"(?:{rule.pattern})" for rule in REMOVED_KEYS)


def _sensitive_in_list() -> str:
    """The keys of a record stand in a list, in quotes."""
    return rf"[\"._\-/ :](?:{sensitive()}|{POSITION_KEYS.pattern})(?:[._]*\d+)*\""
