"""``ops logs``: what it asks for, what it shows, what it refuses."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
import requests
from rich.console import Console
from typer.testing import CliRunner

from ops import __main__ as cli
from ops.core import platform as platform_module
from ops.core.errors import OpsError
from ops.telemetry import logs as logs_module
from ops.telemetry.logs import LogReader, Row, Wanted, query, table

NOW = 1_700_000_000.0
URL = "https://localhost:1234"


class Web:
    """A fake of `ops.core.web.Web` that answers every request alike."""

    def __init__(self, status: int, body: object) -> None:
        self.status, self.body = status, body
        self.requests: list[tuple[str, str, dict[str, Any]]] = []

    def call(self, method: str, url: str, **options: Any) -> requests.Response:
        self.requests.append((method, url, options))
        response = requests.Response()
        response.status_code = self.status
        response._content = self.body.encode() if isinstance(self.body, str) else json.dumps(self.body).encode()
        return response


def hit(name: str, **source: Any) -> dict[str, Any]:
    return {"_id": name, "_source": {"@timestamp": "2023-11-14T22:13:20.123456789Z", **source}}


def reader(*hits: dict[str, Any], status: int = 200, body: object = None) -> tuple[LogReader, Web]:
    web = Web(status, body if body is not None else {"hits": {"hits": list(hits)}})
    return LogReader(web, URL, ("log-reader", "hunter2")), web  # type: ignore[arg-type]


def row(text: str, name: str = "a") -> Row:
    return Row(id=name, time="t", severity="ERROR", layer="l", service="s", trace="0af7", text=text)


def test_every_option_becomes_a_condition() -> None:
    wanted = Wanted(
        trace="0AF7", service="recorder", level="error", text="not stored", origin=("host.name=a=b",), since_s=60
    )
    condition = query(wanted, NOW)["bool"]
    assert condition["filter"] == [
        {"range": {"@timestamp": {"gte": "2023-11-14T22:12:20.000+00:00"}}},
        {"term": {"trace_id": "0" * 28 + "0af7"}},
        {"term": {"service": "recorder"}},
        {"range": {"severity_number": {"gte": 17}}},
        {
            "bool": {
                "should": [{"term": {"origin": "host.name=a=b"}}, {"term": {"resource.host.name": "a=b"}}],
                "minimum_should_match": 1,
            }
        },
    ]
    assert condition["must"] == [{"match": {"body": {"query": "not stored", "operator": "and"}}}]


def test_without_options_only_the_time_matters() -> None:
    assert len(query(Wanted(), NOW)["bool"]["filter"]) == 1


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (Wanted(level="loud"), "--level is 'loud', must be one of trace, debug, info, warn, error, fatal"),
        (Wanted(trace="xyz"), "--trace is 'xyz', must be a trace id: up to 32 hexadecimal digits"),
        (Wanted(trace="0" * 33), "must be a trace id"),
        (Wanted(origin=("host.name",)), "--origin is 'host.name', must be KEY=VALUE, an attribute of the resource"),
        (Wanted(origin=("=x",)), "must be KEY=VALUE"),
    ],
)
def test_what_cannot_be_is_refused(wanted: Wanted, message: str) -> None:
    with pytest.raises(OpsError, match=message):
        query(wanted, NOW)


def test_rows_come_oldest_first_and_once() -> None:
    log_reader, web = reader(hit("b", body="second"), hit("a", body="first"), hit("a", body="first"))
    assert [row.text for row in log_reader.rows(Wanted(), 10, NOW)] == ["first", "second"]
    method, url, options = web.requests[0]
    assert (method, url) == ("POST", f"{URL}/logs-read/_search")
    assert options["auth"] == ("log-reader", "hunter2")
    assert json.loads(options["data"])["size"] == 10


def test_a_row_shows_body_and_attributes() -> None:
    source = {"body": "not stored", "attributes": {"error.type": "timeout"}, "severity": "ERROR", "service": "recorder"}
    log_reader, _ = reader(hit("a", **source, trace_id="0af7651916cd43dd"))
    [shown] = log_reader.rows(Wanted(), 10, NOW)
    assert (shown.text, shown.time) == ("not stored | error.type=timeout", "2023-11-14T22:13:20.123")


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (401, "Unauthorized", "answered 401: Unauthorized"),
        (200, "[]", "did not answer as one does"),
        (
            200,
            '{"_shards": {"total": 3, "successful": 2, "failed": 1}, "hits": {"hits": []}}',
            "answered from 2 of 3 shards only",
        ),
    ],
)
def test_an_answer_that_is_none_is_one_line(status: int, body: str, message: str) -> None:
    log_reader, _ = reader(status=status, body=body)
    with pytest.raises(OpsError, match=message) as caught:
        log_reader.rows(Wanted(), 10, NOW)
    assert "hunter2" not in str(caught.value)


def test_brackets_in_a_text_are_shown_and_long_texts_are_cut() -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(table([row("call [phone] [bold]now"), row("x" * 1000, "b")]))
    shown = console.export_text()
    assert "call [phone] [bold]now" in shown
    assert "x" * 400 not in shown.replace("\n", "")


def test_a_platform_without_log_reader_says_so(monkeypatch: pytest.MonkeyPatch, outputs: dict[str, Any]) -> None:
    platform = platform_module.parse(outputs)
    monkeypatch.setattr(logs_module.platform_module, "load", lambda: platform)
    done = CliRunner().invoke(cli.app, ["logs"])
    assert isinstance(done.exception, OpsError)
    assert "no reader of logs" in str(done.exception)


def test_a_mistake_is_found_before_the_platform_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def never() -> None:
        raise AssertionError("the platform was asked")

    monkeypatch.setattr(logs_module.platform_module, "load", never)
    done = CliRunner().invoke(cli.app, ["logs", "--since", "fortnight"])
    assert isinstance(done.exception, OpsError)
