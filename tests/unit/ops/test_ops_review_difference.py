"""What differs between two plans."""

from __future__ import annotations

import pytest

from ops.review.comment import _transition
from ops.review.difference import Change, Kind, compare, shown, values
from ops.review.model import ABSENT, stack_plan
from policy.model import UNKNOWN
from tests.unit.ops.review_plans import (
    CONFIG_MAP,
    USER,
    files,
    manifest,
    plan,
    planned,
    secret_files,
    stateful_set,
    template,
    topic,
)


def _only(changes: list[Change]) -> Change:
    assert len(changes) == 1
    return changes[0]


def test_equal_plans_do_not_differ() -> None:
    assert compare(plan(files(a="b"), topic()), plan(files(a="b"), topic())) == []


def test_resources_come_and_go() -> None:
    changes = compare(plan(topic("old")), plan(topic("new")))
    assert [(change.kind, change.planned.resource.name) for change in changes] == [
        (Kind.ADDED, "new"),
        (Kind.REMOVED, "old"),
    ]


def test_a_changed_value_is_found_at_its_place() -> None:
    change = _only(compare(plan(stateful_set()), plan(stateful_set(template=template(image="obs/kafka:2")))))
    assert [(entry.where, entry.before, entry.after) for entry in change.entries] == [
        ("spec.template.spec.containers[main].image", "obs/kafka:1", "obs/kafka:2")
    ]
    assert change.touches("spec", "template")
    assert not change.touches("spec", "replicas")


def test_elements_of_a_list_keep_their_identity_when_others_come() -> None:
    before = [{"name": "b", "value": 1}]
    after = [{"name": "a", "value": 0}, {"name": "b", "value": 2}]
    assert list(values(before, after)) == [(("[b]", "value"), 1, 2), (("[a]",), ABSENT, {"name": "a", "value": 0})]


def test_a_changed_order_of_named_elements_is_found() -> None:
    first, second = {"name": "a"}, {"name": "b"}
    assert list(values([first, second], [second, first])) == [(("(order)",), ["a", "b"], ["b", "a"])]


def test_elements_without_a_name_are_compared_by_what_came_and_went() -> None:
    assert list(values(["a", "b", "c"], ["a", "c", "d"])) == [((1,), "b", ABSENT), ((2,), ABSENT, "d")]


def test_a_number_and_its_text_differ() -> None:
    assert list(values({"a": 1}, {"a": "1"})) == [(("a",), 1, "1")]


@pytest.mark.parametrize(
    ("name", "before", "after", "where"),
    [
        ("server__properties", "acks=all\nlisteners=A\n", "acks=1\nlisteners=A\n", "server.properties: acks"),
        ("config__yaml", {"a": {"b": 1}}, {"a": {"b": 2}}, "config.yaml: a.b"),
        ("dashboard__json", {"title": "x", "panels": []}, {"title": "y", "panels": []}, "dashboard.json: title"),
        ("grafana__ini", "[server]\nport=1\n", "[server]\nport=2\n", "grafana.ini: server.port"),
        ("run__sh", "#!/bin/sh\none\n", "#!/bin/sh\ntwo\n", "run.sh: (line 2)"),
    ],
)
def test_files_are_compared_by_their_content(name: str, before: object, after: object, where: str) -> None:
    change = _only(compare(plan(files(**{name: before})), plan(files(**{name: after}))))
    assert [entry.where for entry in change.entries] == [where]


def test_a_file_whose_comments_change_is_no_change_of_its_keys() -> None:
    change = _only(compare(plan(files(a__yaml="b: 1\n")), plan(files(a__yaml="# new\nb: 1\n"))))
    assert [entry.where for entry in change.entries] == ["a.yaml: (layout or comments)"]


def test_a_new_file_is_one_entry() -> None:
    change = _only(compare(plan(files(a__yaml={"b": 1})), plan(files(a__yaml={"b": 1}, c__yaml={"d": 1}))))
    assert [(entry.where, entry.before) for entry in change.entries] == [("c.yaml", ABSENT)]


def test_values_in_secrets_are_never_shown() -> None:
    before, after = (secret_files(web__yml={"user": {"pin": text}}, plain=text) for text in ("old1", "new2"))
    change = _only(compare(plan(before), plan(after)))
    assert {entry.where for entry in change.entries} == {"web.yml: user.pin", "stringData.plain"}
    told = [_transition(entry) for entry in change.entries]
    assert told == ["changes (secret, not shown)"] * 2


def test_values_that_the_program_marks_as_secret_are_never_shown() -> None:
    before, after = (
        planned(USER, "someone", {"username": "someone", "password": text}, secrets=frozenset({("password",)}))
        for text in ("old1", "new2")
    )
    change = _only(compare(plan(before), plan(after)))
    assert [_transition(entry) for entry in change.entries] == ["changes (secret, not shown)"]


@pytest.mark.parametrize("key", ["password", "api_token", "clientSecret", "private.key", "bcryptHash"])
def test_values_that_are_named_like_a_secret_are_never_shown(key: str) -> None:
    change = _only(compare(plan(files(a__yaml={key: "old1"})), plan(files(a__yaml={key: "new2"}))))
    told = _transition(change.entries[0])
    assert told == "(secret) → (secret)"


def test_a_switch_inside_a_secret_is_shown() -> None:
    before, after = (secret_files(c__yaml={"tls": {"insecure": value}}) for value in (False, True))
    change = _only(compare(plan(before), plan(after)))
    assert _transition(change.entries[0]) == "`false` → `true`"


def test_a_value_that_becomes_unknown_is_told() -> None:
    before = manifest(CONFIG_MAP, "files", {"data": {"a": "b"}})
    after = manifest(CONFIG_MAP, "files", {"data": {"a": UNKNOWN}})
    assert _transition(_only(compare(plan(before), plan(after))).entries[0]) == "`b` → (known after the update)"


def test_lost_protection_is_a_change() -> None:
    change = _only(compare(plan(topic(protect=True)), plan(topic())))
    assert [(entry.where, entry.before, entry.after) for entry in change.entries] == [
        ("(protected from deletion)", True, False)
    ]


def test_paths_are_written_as_people_write_them() -> None:
    assert shown(("spec", "rules", 0, "[web]", "a.b/c", "(order)")) == 'spec.rules[0][web]."a.b/c" (order)'


def test_marks_of_the_evaluation_are_read() -> None:
    entry = {
        "urn": "urn:a",
        "type": "t:m:T",
        "name": "a",
        "parent": "",
        "custom": True,
        "read": False,
        "provider": "",
        "protect": False,
        "ignore_changes": [],
        "dependencies": [],
        "inputs": {"open": "x", "list": [{"$secret": {"inner": "y"}}], "later": {"$unknown": True}},
    }
    content = {"stack": "s", "resources": [entry], "thresholds": [], "policies": {"rules": {}, "exceptions": []}}
    planned_resource = stack_plan(content).planned["urn:a"]
    assert planned_resource.resource.props == {"open": "x", "list": [{"inner": "y"}], "later": UNKNOWN}
    assert planned_resource.secret(("list", 0, "inner"))
    assert not planned_resource.secret(("open",))
    assert planned_resource.component == "program"
