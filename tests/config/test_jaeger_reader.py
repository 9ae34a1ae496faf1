"""A real Jaeger query for Grafana: TLS, and nothing without the password."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from components.collector.pods import htpasswd
from components.jaeger.config import QueryConfig
from components.jaeger.reader import reader_config
from tests.config.jaeger_process import JaegerProcess, Sent, files, in_memory, jaeger_process, trace
from tests.config.servers import eventually

LOGIN = ("grafana", "reader-password")
PATHS = ("/", "/api/services", "/api/traces?service=recorder", "/api/v3/services")


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JaegerProcess]:
    folder = tmp_path_factory.mktemp("jaeger-reader")
    search = files(folder, "https://localhost:1", "jaeger-reader")
    (folder / "reader").write_text(htpasswd(dict([LOGIN])))
    settings = QueryConfig(
        search=search, clearance="public", tls_directory=str(folder), scrape_htpasswd=str(folder / "scrape")
    )
    with jaeger_process(folder, in_memory(reader_config(settings, str(folder / "reader")), folder)) as running:
        running.send(trace([Sent(name="record")]))
        yield running


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("auth", [None, ("grafana", "wrong"), ("scrape-jaeger", "scrape-password")])
def test_nothing_is_answered_without_the_password(
    reader: JaegerProcess, path: str, auth: tuple[str, str] | None
) -> None:
    assert reader.get(reader.query_port, path, auth).status_code == 401


def test_traces_are_read_with_the_password(reader: JaegerProcess) -> None:
    def services() -> bool:
        answer = reader.get(reader.query_port, "/api/services", LOGIN)
        return answer.status_code == 200 and "recorder" in (json.loads(answer.text)["data"] or [])

    eventually(services, 15, "the service is listed")
    traces = reader.get(reader.query_port, "/api/traces?service=recorder", LOGIN).json()["data"]
    assert [span["operationName"] for read_trace in traces for span in read_trace["spans"]] == ["record"]


def test_it_speaks_tls_only(reader: JaegerProcess) -> None:
    answer = requests.get(f"http://localhost:{reader.query_port}/api/services", auth=LOGIN, timeout=60)
    assert answer.status_code == 400


def test_its_metrics_have_a_password_of_their_own(reader: JaegerProcess, tmp_path: Path) -> None:
    assert reader.scrape(LOGIN).status_code == 401
    assert reader.scrape().status_code == 200
