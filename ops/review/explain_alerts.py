"""Thresholds and alerting rules in plain words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from components.rules import Severity
from ops.review.phrasing import Statement, Subject, came_and_went, code, compared, duration, later, seconds
from ops.review.pods import at, elements
from policy.documents import Format, documents
from policy.model import Resource, UnknownValueError

_LIMIT = re.compile(r"(==|!=|>=|<=|>|<)(\s*(?:bool\s+)?)(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)\b(?![\w.:(\[{])", re.IGNORECASE)
_SEVERITIES = [severity.value for severity in Severity]
"""Most urgent first."""


class _Limit(NamedTuple):
    comparison: str
    value: float
    expression: str


def thresholds(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> Iterator[Statement]:
    """Changes of the catalogue of thresholds."""
    old, new = ({str(threshold["name"]): threshold for threshold in catalogue} for catalogue in (before, after))
    added, gone, changed = came_and_went(old, new)
    for name in added:
        limit = compared(new[name]["comparison"], new[name]["limit"], new[name]["value"])
        yield _about(f"{_words(name)}: new threshold, alert {limit}{_held(new[name]['hold_s'])}")
    for name in gone:
        yield _about(f"{_words(name)}: the threshold is gone", weakens=True)
    for name in changed:
        yield from _threshold(name, old[name], new[name])


def _threshold(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Statement]:
    words, expression = _words(name), new["value"]
    if (old["comparison"], old["limit"]) != (new["comparison"], new["limit"]):
        now = compared(new["comparison"], new["limit"], expression)
        was = compared(old["comparison"], old["limit"], expression)
        if old["comparison"] == new["comparison"]:
            was = _without_word(was)
        yield _about(
            f"{words}: alert now {now} instead of {was}",
            weakens=later(new["comparison"], old["limit"], new["limit"]),
        )
    if old["hold_s"] != new["hold_s"]:
        yield _about(
            f"{words}: alert now after {duration(new['hold_s'])} instead of {duration(old['hold_s'])}",
            weakens=new["hold_s"] > old["hold_s"],
        )
    if old["value"] != new["value"]:
        yield _about(f"{words}: now looks at {code(new['value'])} instead of {code(old['value'])}")


def alerts(before: Sequence[Resource], after: Sequence[Resource]) -> Iterator[Statement]:
    """Changes of alerting and recording rules, wherever a rule file is."""
    old, new = _rules(before), _rules(after)
    added, gone, changed = came_and_went(old, new)
    for key in added:
        rule = new[key]
        if "alert" in rule:
            severity = _severity(rule) or "no severity"
            held = _held(seconds(str(rule.get("for", ""))) or 0)
            yield _about(f"new alert {key[1]} ({severity}): {code(rule.get('expr'))}{held}")
        else:
            yield _about(f"new recording rule {code(key[1])}")
    for key in gone:
        what = "alert" if "alert" in old[key] else "recording rule"
        yield _about(f"{what} {key[1]} is gone", weakens=True)
    for key in changed:
        yield from _alert(key[1], old[key], new[key])


def _alert(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Statement]:
    if old.get("expr") != new.get("expr"):
        yield from _condition(name, str(old.get("expr")), str(new.get("expr")))
    was, now = str(old.get("for", "0s")), str(new.get("for", "0s"))
    if was != now:
        yield _about(
            f"{name}: alert now after {now} instead of {was}", weakens=(seconds(now) or 0) > (seconds(was) or 0)
        )
    labels = old.get("labels") or {}, new.get("labels") or {}
    for label in sorted({**labels[0], **labels[1]}):
        before, after = labels[0].get(label), labels[1].get(label)
        if before != after:
            yield _about(f"{name}: {label} is now {after} instead of {before}", weakens=_less_urgent(before, after))
    if old.get("annotations") != new.get("annotations"):
        texts = sorted(key for key in {**(old.get("annotations") or {}), **(new.get("annotations") or {})})
        differ = [
            key for key in texts if (old.get("annotations") or {}).get(key) != (new.get("annotations") or {}).get(key)
        ]
        yield _about(f"{name}: the text of its notification changes ({', '.join(differ)})")


def _condition(name: str, old: str, new: str) -> Iterator[Statement]:
    """Only limits moved: each in words; anything else: both conditions."""
    if _LIMIT.sub(r"\1 #", old) != _LIMIT.sub(r"\1 #", new):
        yield _about(f"{name}: the condition is now {code(new)} instead of {code(old)}")
        return
    pairs = list(zip(_limits(old), _limits(new), strict=True))
    for was, now in pairs:
        if was.value == now.value:
            continue
        subject = "alert" if len(pairs) == 1 else code(now.expression)
        yield _about(
            f"{name}: {subject} now {compared(now.comparison, now.value, now.expression)} instead of "
            f"{_without_word(compared(was.comparison, was.value, was.expression))}",
            weakens=later(now.comparison, was.value, now.value),
        )


def _limits(expression: str) -> list[_Limit]:
    """Every limit with what is compared with it."""
    limits: list[_Limit] = []
    start = 0
    for match in _LIMIT.finditer(expression):
        left = re.sub(r"^\W*(and|or|unless)\b", "", expression[start : match.start()].strip()).strip()
        limits.append(_Limit(match[1], float(match[3]), left))
        start = match.end()
    return limits


def _rules(resources: Sequence[Resource]) -> dict[tuple[str, str, int], Mapping[str, Any]]:
    """Rules of every rule file by group, name, and number among equal names."""
    rules: dict[tuple[str, str, int], Mapping[str, Any]] = {}
    for resource in resources:
        for content in _contents(resource):
            counts: dict[tuple[str, str], int] = {}
            for group in elements(at(content, "groups")):
                for rule in elements(at(group, "rules")):
                    key = (str(group.get("name")), str(rule.get("alert") or rule.get("record")))
                    counts[key] = counts.get(key, 0) + 1
                    rules[(*key, counts[key])] = rule
    return rules


def _contents(resource: Resource) -> Iterator[Mapping[str, Any]]:
    try:
        for document in documents(resource, Format.RULES):
            yield document.node.raw
    except UnknownValueError:
        return


def _less_urgent(before: Any, after: Any) -> bool:
    if before not in _SEVERITIES:
        return False
    return after not in _SEVERITIES or _SEVERITIES.index(after) > _SEVERITIES.index(before)


def _severity(rule: Mapping[str, Any]) -> str:
    return str((rule.get("labels") or {}).get("severity", ""))


def _held(hold_s: float) -> str:
    return f" for {duration(hold_s)}" if hold_s else ""


def _words(name: str) -> str:
    return name.replace("-", " ").replace("_", " ")


def _without_word(limit: str) -> str:
    """A limit without its comparison, where the sentence has said it."""
    return re.sub(r"^[a-z ]+(?=[-\d])", "", limit)


def _about(text: str, *, weakens: bool = False) -> Statement:
    return Statement(Subject.THRESHOLDS, text, weakens)
