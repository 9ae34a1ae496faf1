"""Numbers that count only when their check digit is right: cards and My Numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from components.masking.model import CheckedNumber
from components.masking.otlp_fields import OtlpFields, replace
from components.masking.ottl import pattern, quoted

_ROUNDS = 2
"""Candidates that are looked at in one record; if there are more, all that are left are masked."""


def check_digit_statements(fields: OtlpFields, number: CheckedNumber) -> Iterable[str]:
    """Candidates one by one: the check digit is computed, and only a right one is masked."""
    everything, seen = fields.attributes, f"{fields.cache('g-number')} == true"
    rest, matched, digits, right = (
        fields.cache(f"{number.id}-{part}") for part in ("rest", "found", "digits", "right")
    )
    candidate = pattern(f"{number.pattern}|$")
    long = f"{fields.cache('f-long')} == true"
    yield f'set({rest}, "")'
    yield f"set({rest}, String({everything})) where {seen} and {long}"
    for _ in range(_ROUNDS):
        yield f'set({matched}, "")'
        yield f"set({right}, false)"
        yield f'set({matched}, ExtractPatterns({rest}, {candidate})["n"]) where {rest} != ""'
        yield f'set({rest}, "") where {matched} == ""'
        yield f"set({digits}, {matched})"
        yield f'replace_pattern({digits}, "[^0-9]", "") where {matched} != ""'
        like = f'{matched} != "" and not IsMatch({digits}, {pattern(number.not_like)})'
        yield from _CHECKS[number.check](digits, right, like)
        marked = f"{matched}, {quoted(number.replacement)}) where {right} == true"
        yield f'replace_all_patterns({everything}, "value", {marked}'
        yield f'replace_pattern({rest}, {matched}, "") where {matched} != ""'
        if number.bare:
            yield from _bare_number(fields, number, matched, right)
    left = f'{rest} != "" and IsMatch({rest}, {pattern(number.pattern)})'
    yield f"{replace(fields, number.pattern, number.replacement)} where {left}"


def _bare_number(fields: OtlpFields, number: CheckedNumber, matched: str, right: str) -> Iterable[str]:
    """The value is a number and no text: the map is written and read as JSON, with a marker in its place."""
    json = fields.cache("j")
    bare = f'{right} == true and IsMatch(String({fields.attributes}), Concat(["\\":", {matched}, "[,}}]"], ""))'
    yield f"set({json}, String({fields.attributes})) where {bare}"
    marked = f'Concat(["\\":\\"", {quoted(number.replacement)}, "\\"$$1"], "")'
    yield f'replace_pattern({json}, Concat(["\\":", {matched}, "([,}}])"], ""), {marked}) where {bare}'
    yield f"set({fields.attributes}, ParseJSON({json})) where {bare}"


def _luhn(digits: str, right: str, where: str) -> Iterable[str]:
    yield f"set({right}, IsValidLuhn({digits})) where {where}"


def _my_number(digits: str, right: str, where: str) -> Iterable[str]:
    """Check digit of a My Number: 11 minus the weighted sum modulo 11, and 0 where that is more than 9."""
    weights = (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)
    total = " + ".join(f"Int(Substring({digits}, {index}, 1)) * {weight}" for index, weight in enumerate(weights))
    yield f"set({right}, {total}) where {where}"
    yield f"set({right}, {right} - {right} / 11 * 11) where {where}"
    check = f"Int(Substring({digits}, 11, 1))"
    fits = f"({right} <= 1 and {check} == 0) or ({right} > 1 and {check} == 11 - {right})"
    yield f"set({right}, true) where {where} and ({fits})"


_CHECKS: dict[str, Callable[[str, str, str], Iterable[str]]] = {"luhn": _luhn, "my-number": _my_number}
