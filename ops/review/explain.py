"""What a change means, in sentences that need no Kubernetes, Kafka or PromQL."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from components.rules import Severity
from ops.review.explain_access import access, brokers, surface
from ops.review.explain_catalogue import catalogue
from ops.review.model import (
    StackPlan,
    Statement,
    Subject,
    at,
    came_and_went,
    code,
    compared,
    duration,
    elements,
    later,
    listed,
    seconds,
)
from policy.documents import Format, documents, files, parse
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
        yield _about_alerts(f"{_words(name)}: new threshold, alert {limit}{_held(new[name]['hold_s'])}")
    for name in gone:
        yield _about_alerts(f"{_words(name)}: the threshold is gone", weakens=True)
    for name in changed:
        yield from _threshold(name, old[name], new[name])


def _threshold(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Statement]:
    words, expression = _words(name), new["value"]
    if (old["comparison"], old["limit"]) != (new["comparison"], new["limit"]):
        now = compared(new["comparison"], new["limit"], expression)
        was = compared(old["comparison"], old["limit"], expression)
        if old["comparison"] == new["comparison"]:
            was = _without_word(was)
        yield _about_alerts(
            f"{words}: alert now {now} instead of {was}",
            weakens=later(new["comparison"], old["limit"], new["limit"]),
        )
    if old["hold_s"] != new["hold_s"]:
        yield _about_alerts(
            f"{words}: alert now after {duration(new['hold_s'])} instead of {duration(old['hold_s'])}",
            weakens=new["hold_s"] > old["hold_s"],
        )
    if old["value"] != new["value"]:
        yield _about_alerts(f"{words}: now looks at {code(new['value'])} instead of {code(old['value'])}")


def alerts(before: Sequence[Resource], after: Sequence[Resource]) -> Iterator[Statement]:
    """Changes of alerting and recording rules, wherever a rule file is."""
    old, new = _rules(before), _rules(after)
    added, gone, changed = came_and_went(old, new)
    for key in added:
        rule = new[key]
        if "alert" in rule:
            severity = _severity(rule) or "no severity"
            held = _held(seconds(str(rule.get("for", ""))) or 0)
            yield _about_alerts(f"new alert {key[1]} ({severity}): {code(rule.get('expr'))}{held}")
        else:
            yield _about_alerts(f"new recording rule {code(key[1])}")
    for key in gone:
        what = "alert" if "alert" in old[key] else "recording rule"
        yield _about_alerts(f"{what} {key[1]} is gone", weakens=True)
    for key in changed:
        yield from _alert(key[1], old[key], new[key])


def _alert(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Statement]:
    if old.get("expr") != new.get("expr"):
        yield from _condition(name, str(old.get("expr")), str(new.get("expr")))
    was, now = str(old.get("for", "0s")), str(new.get("for", "0s"))
    if was != now:
        yield _about_alerts(
            f"{name}: alert now after {now} instead of {was}", weakens=(seconds(now) or 0) > (seconds(was) or 0)
        )
    labels = old.get("labels") or {}, new.get("labels") or {}
    for label in sorted({**labels[0], **labels[1]}):
        before, after = labels[0].get(label), labels[1].get(label)
        if before != after:
            yield _about_alerts(
                f"{name}: {label} is now {after} instead of {before}", weakens=_less_urgent(before, after)
            )
    if old.get("annotations") != new.get("annotations"):
        texts = sorted(key for key in {**(old.get("annotations") or {}), **(new.get("annotations") or {})})
        differ = [
            key for key in texts if (old.get("annotations") or {}).get(key) != (new.get("annotations") or {}).get(key)
        ]
        yield _about_alerts(f"{name}: the text of its notification changes ({', '.join(differ)})")


def _condition(name: str, old: str, new: str) -> Iterator[Statement]:
    """Only limits moved: each in words; anything else: both conditions."""
    if _LIMIT.sub(r"\1 #", old) != _LIMIT.sub(r"\1 #", new):
        yield _about_alerts(f"{name}: the condition is now {code(new)} instead of {code(old)}")
        return
    pairs = list(zip(_limits(old), _limits(new), strict=True))
    for was, now in pairs:
        if was.value == now.value:
            continue
        subject = "alert" if len(pairs) == 1 else code(now.expression)
        yield _about_alerts(
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
        for content in _rule_files(resource):
            counts: dict[tuple[str, str], int] = {}
            for group in elements(at(content, "groups")):
                for rule in elements(at(group, "rules")):
                    key = (str(group.get("name")), str(rule.get("alert") or rule.get("record")))
                    counts[key] = counts.get(key, 0) + 1
                    rules[(*key, counts[key])] = rule
    return rules


def _rule_files(resource: Resource) -> Iterator[Mapping[str, Any]]:
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


def _about_alerts(text: str, *, weakens: bool = False) -> Statement:
    return Statement(Subject.THRESHOLDS, text, weakens)


def dashboards(before: Sequence[Resource], after: Sequence[Resource]) -> Iterator[Statement]:
    """Changes of dashboards, in ConfigMaps or as resources of their own."""
    old, new = _by_uid(before), _by_uid(after)
    added, gone, changed = came_and_went(old, new)
    for name in added:
        yield _about_dashboards(f"new dashboard {_title(new[name])}")
    for name in gone:
        yield _about_dashboards(f"dashboard {_title(old[name])} is gone", weakens=True)
    for name in changed:
        yield from _dashboard(old[name], new[name])


def _dashboard(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Statement]:
    title = _title(new)
    was, now = _panels(old), _panels(new)
    added, gone, changed = came_and_went(was, now)
    for panel in added:
        yield _about_dashboards(f"dashboard {title}: new panel {panel}")
    for panel in gone:
        yield _about_dashboards(f"dashboard {title}: panel {panel} is gone", weakens=True)
    for panel in changed:
        before, after = _queries(was[panel]), _queries(now[panel])
        if before != after:
            shown = [listed(code(query) for query in queries) or "nothing" for queries in (after, before)]
            yield _about_dashboards(f"dashboard {title}: panel {panel} shows {shown[0]} instead of {shown[1]}")
        else:
            yield _about_dashboards(f"dashboard {title}: panel {panel} looks different")
    keys = [key for key in {**old, **new} if key not in ("panels", "version") and old.get(key) != new.get(key)]
    if keys:
        yield _about_dashboards(f"dashboard {title}: {listed(sorted(keys))} changed")


def _by_uid(resources: Sequence[Resource]) -> dict[str, Mapping[str, Any]]:
    """Dashboards by their identity."""
    models: dict[str, Mapping[str, Any]] = {}
    for resource in resources:
        for content in _dashboard_files(resource):
            if isinstance(content, Mapping) and isinstance(content.get("panels"), list) and "title" in content:
                models[str(content.get("uid") or content["title"])] = content
    return models


def _dashboard_files(resource: Resource) -> Iterator[Any]:
    text = resource.props.get("configJson")
    if resource.kind == "Dashboard" and isinstance(text, str):
        try:
            yield json.loads(text)
        except ValueError:
            return
    try:
        for name, content in files(resource):
            if name.endswith(".json"):
                yield parse(name, content)[1]
    except UnknownValueError:
        return


def _panels(dashboard: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Panels by title (rows opened); equal titles are numbered."""
    panels: dict[str, Mapping[str, Any]] = {}
    pending = list(elements(dashboard.get("panels")))
    while pending:
        panel = pending.pop(0)
        if not isinstance(panel, Mapping):
            continue
        pending = [*elements(panel.get("panels")), *pending]
        title = str(panel.get("title") or f"without title ({panel.get('type')})")
        number = sum(name == title or name.startswith(f"{title} (") for name in panels)
        panels[f"{title} ({number + 1})" if number else title] = {
            key: value for key, value in panel.items() if key not in ("panels", "id", "gridPos")
        }
    return panels


def _queries(panel: Mapping[str, Any]) -> list[str]:
    targets = [target for target in elements(panel.get("targets")) if isinstance(target, Mapping)]
    return [str(target.get("expr") or target.get("query") or target) for target in targets]


def _title(dashboard: Mapping[str, Any]) -> str:
    return str(dashboard["title"])


def _about_dashboards(text: str, *, weakens: bool = False) -> Statement:
    return Statement(Subject.DASHBOARDS, text, weakens)


_RULES_SHOWN = 8


def explain(before: StackPlan, after: StackPlan) -> list[Statement]:
    """Every sentence about a stack; a stack that comes or goes as a whole is one sentence."""
    if not before.planned or not after.planned:
        return []
    old, new = before.resources, after.resources
    statements = [
        *policies(before, after),
        *thresholds(before.thresholds, after.thresholds),
        *alerts(old, new),
        *catalogue(old, new),
        *access(old, new),
        *brokers(old, new),
        *surface(old, new),
        *dashboards(old, new),
    ]
    return list(dict.fromkeys(statements))


def policies(before: StackPlan, after: StackPlan) -> Iterator[Statement]:
    """Changes of the rules themselves, and of agreed exceptions."""
    added, gone, changed = came_and_went(before.rules, after.rules)
    if added:
        more = f" and {len(added) - _RULES_SHOWN} more" if len(added) > _RULES_SHOWN else ""
        yield _about_policy(
            f"{len(added)} new {'rule' if len(added) == 1 else 'rules'}: {listed(added[:_RULES_SHOWN])}{more}"
        )
    for rule in gone:
        yield _about_policy(f"rule {rule} is gone", weakens=True)
    for rule in changed:
        weaker = after.rules[rule] != "mandatory"
        yield _about_policy(f"rule {rule} is now {after.rules[rule]} instead of {before.rules[rule]}", weakens=weaker)
    old, new = (
        {(exception["rule"], exception["resource"]): exception for exception in plan.exceptions}
        for plan in (before, after)
    )
    added_exceptions, gone_exceptions, changed_exceptions = came_and_went(old, new)
    for key in (*added_exceptions, *changed_exceptions):
        entry = new[key]
        which = "new exception" if key not in old else "changed exception"
        yield _about_policy(
            f"{which} from {entry['rule']} for {entry['resource']} until {entry['expires']}: {entry['reason']}",
            weakens=True,
        )
    for rule, resource in gone_exceptions:
        yield _about_policy(f"the exception from {rule} for {resource} has ended")


def together(by_stack: Mapping[str, Sequence[Statement]]) -> dict[Statement, list[str]]:
    """Every sentence once, with the stacks that it holds for, in the order of subjects."""
    stacks_by_statement: dict[Statement, list[str]] = {}
    for stack, statements in by_stack.items():
        for statement in statements:
            stacks_by_statement.setdefault(statement, []).append(stack)
    order = list(Subject)
    return dict(
        sorted(stacks_by_statement.items(), key=lambda item: (order.index(item[0].subject), not item[0].weakens))
    )


def _about_policy(text: str, *, weakens: bool = False) -> Statement:
    return Statement(Subject.POLICY, text, weakens)
