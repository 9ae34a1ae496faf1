"""The pack's machinery: reading values, parsing files, running rules, exceptions."""

from __future__ import annotations

import base64
import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest

from policy import document, exceptions
from policy.documents import Format, documents, files, parse, properties
from policy.model import UNKNOWN, Finding, Level, Node, Option, Options, Resource, Rule, UnknownValueError
from policy.rules import RULES
from policy.runner import Runner

TODAY = datetime.date(2026, 11, 24)


def config_map(name: str, **data: object) -> Resource:
    """A ConfigMap with some files."""
    return Resource(
        "kubernetes:core/v1:ConfigMap", name, {"metadata": {"name": name, "namespace": "obs"}, "data": dict(data)}
    )


def _small(resource: Resource, options: Options) -> Iterator[Finding]:
    size = resource.node.at("spec.size")
    if size.value is None or size.value < options["least"]:
        yield Finding(
            resource=resource, where=size.path, problem=f"is {size.value}", fix=f"set it to at least {options['least']}"
        )


SMALL = Rule(
    id="size-least",
    promise="Things have a size.",
    why="Small things break.",
    sources=("K1",),
    options={"least": Option(default=3, schema={"type": "integer"}, meaning="least size")},
    kinds=frozenset({"Thing"}),
    resource=_small,
)


def thing(size: object) -> Resource:
    """A resource that the rule looks at."""
    return Resource("x:y:Thing", "a", {"metadata": {"name": "a"}, "spec": {"size": size}})


def runner(**keys: object) -> Runner:
    """A runner with the one rule and no exceptions."""
    return Runner(**{"rules": [SMALL], "agreed": [], "today": TODAY, **keys})  # type: ignore[arg-type]


def test_a_message_says_what_where_why_and_the_fix() -> None:
    [verdict] = runner().all([thing(2)])
    assert verdict.message == "Thing a, spec.size: is 2. Small things break. Fix: set it to at least 3."
    assert verdict.stops


def test_the_fixed_twin_passes() -> None:
    assert runner().all([thing(3)]) == []


def test_an_unknown_value_is_reported_and_does_not_stop() -> None:
    [verdict] = runner().all([thing(UNKNOWN)])
    assert verdict.message == "Thing a, spec.size: not known before the update, so size-least could not look at it yet"
    assert verdict.unknown
    assert not verdict.stops


def test_options_levels_and_switching_off_come_from_the_configuration() -> None:
    assert runner(config={"size-least": {"least": 2}}).all([thing(2)]) == []
    [verdict] = runner(config={"size-least": "advisory"}).all([thing(2)])
    assert (verdict.level, verdict.stops) == (Level.ADVISORY, False)
    assert runner(config={"size-least": "disabled"}).all([thing(1)]) == []


def entry(**keys: object) -> exceptions.ExceptionEntry:
    """An exception for the one rule."""
    base = {
        "rule": "size-least",
        "resource": "Thing a",
        "reason": "being replaced",
        "owner": "team",
        "expires": datetime.date(2026, 12, 1),
    }
    return exceptions.ExceptionEntry(**{**base, **keys})  # type: ignore[arg-type]


def test_an_exception_covers_its_resource_until_its_day() -> None:
    [verdict] = runner(agreed=[entry()]).all([thing(1)])
    assert verdict.agreed == "being replaced (team, until 2026-12-01)"
    assert not verdict.stops


def test_an_expired_exception_covers_nothing_and_is_itself_a_violation() -> None:
    verdicts = runner(agreed=[entry(expires=datetime.date(2026, 11, 23))]).all([thing(1)])
    assert [verdict.rule.id for verdict in verdicts if verdict.stops] == ["size-least", "exceptions-current"]
    assert "expired on 2026-11-23" in verdicts[1].message


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"rule": "no-such"}, "there is no rule no-such"),
        ({"expires": datetime.date(2027, 11, 24)}, "holds until 2027-11-24, longer than 180 days"),
    ],
)
def test_an_exception_must_name_a_rule_and_end_soon(change: dict[str, object], problem: str) -> None:
    [finding] = runner(agreed=[entry(**change)]).stale([thing(3)])
    assert finding.problem == problem


def test_an_exception_for_a_resource_that_is_gone_is_reported() -> None:
    left = entry(resource="ConfigMap obs/gone")
    [finding] = runner(agreed=[left]).stale([config_map("kept")])
    assert finding.problem == "there is no ConfigMap obs/gone"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("- {rule: a}", "has no resource"),
        ("- {rule: a, resource: b, reason: c, owner: d, expires: soon}", "has expires soon, which is no date"),
        ("- {rule: a, resource: b, reason: c, owner: d, expires: 2027-01-01, x: 1}", "has unknown keys x"),
        ("- text", "is not a mapping"),
    ],
)
def test_entries_that_cannot_be_used_are_findings(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "exceptions.yaml"
    file.write_text(text)
    entries, [finding] = exceptions.load(file)
    assert entries == ()
    assert finding.problem == problem


def test_the_committed_exceptions_can_be_used() -> None:
    assert exceptions.load()[1] == ()


def test_nodes_know_their_path_and_survive_missing_keys() -> None:
    node = Node({"a": [{"b.c": 1}]})
    assert node["a"][0]["b.c"].path == 'a[0]."b.c"'
    assert node.at("x.y.z").value is None
    assert [element.path for element in node["a"].elements()] == ["a[0]"]
    with pytest.raises(UnknownValueError, match="a"):
        _ = Node({"a": UNKNOWN})["a"]["b"]


_ENDINGS = (".conf", ".config", ".properties", ".ini", ".json", ".txt", "")


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("server.properties", "listeners=A://:1", Format.KAFKA_SERVER),
        ("client.properties", "security.protocol=SSL", Format.KAFKA_CLIENT),
        ("c.yaml", "receivers: {}\nexporters: {}\nservice: {}", Format.COLLECTOR),
        ("c.yaml", "receivers: {}\nservice: {}\nextensions: {jaeger_storage: {}}", Format.JAEGER),
        ("p.yml", "scrape_configs: []", Format.PROMETHEUS),
        ("w.yml", "tls_server_config: {}", Format.WEB),
        ("a.yml", "route: {}\nreceivers: []", Format.ALERTMANAGER),
        ("g.yml", "tls_server_config: {}\ntls_client_config: {}", Format.GOSSIP),
        ("grafana.ini", "[server]\nprotocol = https", Format.GRAFANA),
        ("d.yaml", "datasources: []", Format.DATASOURCES),
        ("o.yml", "cluster.name: x", Format.SEARCH),
        ("o.yml", "cluster: {name: x}", Format.SEARCH),
        ("opensearch.yml", "http.cors.enabled: true", Format.SEARCH),
        *((f"a{ending}", "route: {}\nreceivers: []", Format.ALERTMANAGER) for ending in _ENDINGS),
        *((f"w{ending}", "basic_auth_users: {}", Format.WEB) for ending in _ENDINGS),
        ("a.yml", "route: {}\nreceivers: []\n---\nmore: 1", Format.ALERTMANAGER),
        ("a.yml", "route: !mine {}\nreceivers: !mine []", Format.ALERTMANAGER),
        ("client.conf", "security.protocol: SSL", Format.KAFKA_CLIENT),
        ("r.yml", "groups: [{name: a, rules: []}]", Format.RULES),
        ("config.yaml", "bootstrap: kafka:9092\ngroups: [metrics-consumer-primary]", Format.OTHER),
        ("config.yaml", "bootstrap: kafka:9092\ngroups: metrics-.*", Format.OTHER),
        ("e.yml", "endpoints: []", Format.THANOS_CLIENT),
        ("broken.yml", "a: [", Format.OTHER),
        ("notes.txt", "a", Format.OTHER),
    ],
)
def test_files_are_recognised_by_their_content(name: str, text: str, kind: Format) -> None:
    assert parse(name, text)[0] is kind


def test_of_several_documents_the_first_one_is_read_and_unknown_tags_mean_nothing() -> None:
    text = "route: !mine {receiver: !mine a}\nreceivers: !mine [!mine {name: a}]\n---\nroute: {receiver: b}\n"
    assert parse("a.yml", text)[1] == {"route": {"receiver": "a"}, "receivers": [{"name": "a"}]}


def test_settings_of_search_nodes_have_dotted_names_in_any_spelling() -> None:
    text = "cluster: {name: x}\ndiscovery: {seed_hosts: [a, b]}\nnode.name: y\n"
    assert parse("o.yml", text)[1] == {"cluster.name": "x", "discovery.seed_hosts": ["a", "b"], "node.name": "y"}


def test_properties_have_comments_separators_and_continued_lines() -> None:
    text = "# no\n! no\na=1\n b : 2 \nc=x,\\\ny\nurl=http://a:1\n"
    assert properties(text) == {"a": "1", "b": "2", "c": "x,y", "url": "http://a:1"}


def test_secrets_are_decoded_and_unknown_files_come_last() -> None:
    data = {"late.yml": UNKNOWN, "web.yml": base64.b64encode(b"basic_auth_users: {a: b}").decode()}
    secret = Resource("kubernetes:core/v1:Secret", "s", {"metadata": {"name": "s"}, "data": data})
    parsed_documents = documents(secret)
    assert next(parsed_documents).node["basic_auth_users"].value == {"a": "b"}
    with pytest.raises(UnknownValueError, match=r"data\.late\.yml"):
        next(parsed_documents)
    assert list(files(thing(1))) == []


def test_every_rule_is_whole() -> None:
    for rule in RULES:
        assert rule.id == rule.id.lower()
        assert " " not in rule.id, rule.id
        for sentence in (rule.promise, rule.why):
            assert sentence.endswith("."), f"{rule.id}: {sentence}"
        assert rule.sources, f"{rule.id} names no requirement"


def test_the_documentation_is_current() -> None:
    assert document.main(["--check"]) == 0, "run `make docs` and commit docs/policies.md"
