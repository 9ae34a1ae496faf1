"""Settings, counts, documents and offsets of the service graph."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest

from services.runtime.settings import SettingsError
from services.service_graph import ServiceGraphSettings
from services.service_graph.__main__ import main
from services.service_graph.graph import EdgeMetrics, Tally, document, document_id, links
from services.service_graph.reader import place

MS = 1_000_000


def content() -> dict[str, Any]:
    """A settings file that is accepted."""
    return {
        "kafka": {
            "bootstrap": "kafka:9092",
            "topic": "telemetry-traces",
            "ca_file": "/tls/ca.crt",
            "username": "service-graph",
            "group": "service-graph",
            "password_file": "/auth/kafka",
        },
        "search": {
            "url": "https://search:9200",
            "server_name": "search.obs",
            "index": "internal-jaeger-dependencies-write",
            "ca_file": "/tls/ca.crt",
            "username": "service-graph",
            "password_file": "/auth/search",
        },
        "listen": "0.0.0.0:8080",
        "tls": {"cert_file": "/tls/tls.crt", "key_file": "/tls/tls.key"},
        "metrics": {"user": "scrape", "password_file": "/auth/scrape"},
        "interval_s": 60,
        "window_s": 30,
        "most_spans": 200_000,
        "most_edges": 500,
    }


def test_a_whole_file_is_accepted(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(content()))
    settings = ServiceGraphSettings.load(file)
    assert settings.kafka.topic == "telemetry-traces"
    assert (settings.listen_host, settings.listen_port) == ("0.0.0.0", 8080)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("search.url", "http://search:9200", "search.url is 'http://search:9200'; it must be https://host:port"),
        ("search.url", "https://search", "it must be https://host:port"),
        ("search.url", "https://search:x", "it must be https://host:port"),
        ("search.index", "", "search.index is ''; it must be a text that is not empty"),
        ("kafka.more", 1, "kafka.more is not a setting; allowed: bootstrap, topic"),
        ("more", 1, "more is not a setting; allowed: listen, tls, metrics, kafka, search"),
        ("kafka", None, "kafka must be a mapping with the keys bootstrap"),
        ("listen", "8080", "listen is '8080'; it must be \"address:port\""),
        ("listen", 8080, "listen is 8080"),
        ("interval_s", 0, "interval_s is 0; it must be a number from 1 to 3600"),
        ("window_s", True, "window_s is True; it must be a number"),
        ("most_spans", "many", "most_spans is 'many'; it must be a number from 1000"),
    ],
)
def test_a_mistake_is_one_clear_line(path: str, value: object, message: str) -> None:
    given = content()
    *sections, key = path.split(".")
    target = given
    for section in sections:
        target = target[section]
    target[key] = value
    with pytest.raises(SettingsError, match=re.escape(message)):
        ServiceGraphSettings.parse(given)


def test_a_missing_key_is_named() -> None:
    given = content()
    del given["kafka"]["topic"]
    with pytest.raises(SettingsError, match=r"kafka\.topic is missing; needed: bootstrap, topic"):
        ServiceGraphSettings.parse(given)


def test_a_file_that_cannot_be_used_ends_the_program_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--config", str(tmp_path / "none.yaml")]) == 2
    (tmp_path / "bad.yaml").write_text("a: [")
    assert main(["--config", str(tmp_path / "bad.yaml")]) == 2
    (tmp_path / "list.yaml").write_text("[1]")
    assert main(["--config", str(tmp_path / "list.yaml")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    for line, reason in zip(lines, ("cannot be read", "neither YAML nor JSON", "must be a mapping"), strict=True):
        assert line.startswith("service-graph: ")
        assert reason in line


def exposed(edges: EdgeMetrics) -> str:
    registry = CollectorRegistry()
    registry.register(edges)
    return generate_latest(registry).decode()


def test_the_map_has_the_names_that_grafanas_service_graph_reads() -> None:
    edges = EdgeMetrics(10)
    edges.add("a", "b", 20 * MS, 30 * MS, failed=False)
    edges.add("a", "b", 2000 * MS, 0, failed=True)
    text = exposed(edges)
    labels = 'client="a",server="b"'
    for line in (
        f"traces_service_graph_request_total{{{labels}}} 2.0",
        f"traces_service_graph_request_failed_total{{{labels}}} 1.0",
        'traces_service_graph_request_server_seconds_bucket{client="a",le="0.01",server="b"} 0.0',
        'traces_service_graph_request_server_seconds_bucket{client="a",le="0.025",server="b"} 1.0',
        'traces_service_graph_request_server_seconds_bucket{client="a",le="2",server="b"} 2.0',
        f"traces_service_graph_request_server_seconds_count{{{labels}}} 2.0",
        f"traces_service_graph_request_server_seconds_sum{{{labels}}} 2.02",
        f"traces_service_graph_request_client_seconds_count{{{labels}}} 1.0",
    ):
        assert line in text.splitlines(), f"{line} is not in:\n{text}"


def test_edges_beyond_the_limit_are_counted_not_kept() -> None:
    edges = EdgeMetrics(1)
    for server in ("b", "c", "b"):
        edges.add("a", server, MS, 0, failed=False)
    assert edges.beyond == 1
    assert 'server="c"' not in exposed(edges)


def test_a_tally_is_bounded_and_begins_again() -> None:
    tally = Tally(1)
    for server in ("b", "c", "b"):
        tally.add("a", server)
    assert tally.calls == {("a", "b"): 2}
    tally.newest_ms = 7
    tally.clear()
    assert (tally.calls, tally.newest_ms) == ({}, 0)


def test_a_document_is_as_jaeger_reads_it() -> None:
    dependencies = document({("b", "c"): 1, ("a", "b"): 2}, 1_700_000_000_123)
    assert dependencies == {
        "timestamp": "2023-11-14T22:13:20.123Z",
        "dependencies": [
            {"parent": "a", "child": "b", "callCount": 2},
            {"parent": "b", "child": "c", "callCount": 1},
        ],
    }
    assert links({}) == []


def test_a_documents_name_follows_from_where_it_begins() -> None:
    name = document_id("t", {0: 5, 1: 7})
    assert name == document_id("t", {1: 7, 0: 5})
    assert len({name, document_id("t", {0: 5, 1: 8}), document_id("u", {0: 5, 1: 7}), document_id("t", {0: 5})}) == 4


def test_a_group_without_a_place_begins_with_the_first_record_that_is_left() -> None:
    position = place(-1001, None, low=3)
    assert (position.warm, position.begin, position.counted, position.next) == (3, 3, 3, 3)


def test_a_restart_reads_the_parents_again_and_the_unfinished_document() -> None:
    position = place(100, '{"from": 60, "warm": 40}', low=0)
    assert (position.next, position.warm, position.begin, position.counted) == (40, 40, 60, 100)


@pytest.mark.parametrize("metadata", [None, "", "nonsense", "[]", '{"from": "x"}', "7"])
def test_a_place_without_our_metadata_is_still_a_place(metadata: str | None) -> None:
    position = place(100, metadata, low=0)
    assert (position.next, position.begin, position.counted) == (100, 100, 100)


def test_records_that_are_gone_already_are_not_asked_for() -> None:
    position = place(100, '{"from": 60, "warm": 40}', low=80)
    assert (position.next, position.begin, position.counted) == (80, 80, 100)


def test_a_mark_leads_back_by_the_window() -> None:
    position = place(0, None, low=0)
    for second in range(60):
        position.mark(1000 * second, second, 30_000)
    assert position.marks[0] == (28_000, 28)
    assert position.metadata() == '{"from": 0, "warm": 0}'
