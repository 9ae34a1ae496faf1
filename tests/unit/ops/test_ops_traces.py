"""``ops trace``: the tree, what it refuses, and where it asks."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import requests
from rich.console import Console
from typer.testing import CliRunner

from ops import __main__ as cli
from ops.core import platform as platform_module
from ops.core.errors import OpsError
from ops.telemetry import traces
from ops.telemetry.traces import TraceReader, choose, duration, fetch_token, parse, tree

URLS = {"public": "https://public:4180", "internal": "https://internal:4180"}
LOGIN = {
    "issuer": "https://issuer",
    "client_id": "ops",
    "client_secret": "secret-of-the-tool",
    "authority": "PEM of the provider",
}
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


def span(
    span_id: str,
    parent: str | None = None,
    *,
    name: str = "work",
    start: int = 0,
    other: str | None = None,
    **tags: Any,
) -> dict[str, Any]:
    references = [{"refType": "CHILD_OF", "traceID": TRACE_ID, "spanID": parent}] if parent else []
    if other:
        references.append({"refType": "FOLLOWS_FROM", "traceID": other, "spanID": "x"})
    return {
        "traceID": TRACE_ID,
        "spanID": span_id,
        "operationName": name,
        "references": references,
        "startTime": 1_700_000_000_000_000 + start,
        "duration": 1500,
        "processID": "p1",
        "tags": [{"key": key.replace("__", "."), "value": value} for key, value in tags.items()],
    }


def answer(*spans: dict[str, Any], **process_tags: str) -> dict[str, Any]:
    tags = [{"key": key.replace("__", "."), "value": value} for key, value in process_tags.items()]
    return {
        "traceID": TRACE_ID,
        "spans": list(spans),
        "processes": {"p1": {"serviceName": "recorder", "tags": tags}},
    }


def shown(content: Mapping[str, Any]) -> list[str]:
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(tree(parse(content)))
    return console.export_text().splitlines()


class Web:
    """A fake of `ops.core.web.Web`: answers from a table, remembers what was asked."""

    def __init__(self, answers: Mapping[str, tuple[int, object]]) -> None:
        self.answers, self.requests = answers, list[tuple[str, str, dict[str, Any]]]()

    def call(self, method: str, url: str, **options: Any) -> requests.Response:
        self.requests.append((method, url, options))
        response = requests.Response()
        status, body = self.answers[url]
        response.status_code = status
        response._content_consumed = True  # type: ignore[attr-defined]
        response._content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        return response

    @contextmanager
    def trusting(self, authority: str) -> Iterator[Web]:
        self.trusted = authority
        yield self

    def close(self) -> None:
        pass


def reader(answers: Mapping[str, tuple[int, object]]) -> tuple[TraceReader, Web]:
    web = Web(answers)
    return TraceReader(web, URLS["internal"], "token-1", "internal"), web  # type: ignore[arg-type]


def test_spans_stand_under_their_parents_in_the_order_of_time() -> None:
    lines = shown(answer(span("c", "a", name="late", start=20), span("b", "a", name="early", start=10), span("a")))
    assert TRACE_ID in lines[0]
    assert "3 spans" in lines[0]
    assert [line.strip("│├└─ ").split("  ")[0] for line in lines[1:]] == [
        "recorder work",
        "recorder early",
        "recorder late",
    ]
    assert lines[2].startswith("    ")


def test_errors_classes_and_links_are_shown() -> None:
    lines = shown(answer(span("a", error=True, other="ffff"), data__classification="internal"))
    assert "ERROR" in lines[1]
    assert "internal" in lines[1]
    assert "-> trace ffff" in lines[1]


@pytest.mark.parametrize(
    ("on_span", "on_resource", "expected"),
    [
        (None, None, "confidential"),
        ("public", None, "public"),
        ("public", "internal", "internal"),
        ("secret", "public", "confidential"),
    ],
)
def test_the_class_is_the_one_that_jaeger_stores_under(
    on_span: str | None, on_resource: str | None, expected: str
) -> None:
    own = {"data__classification": on_span} if on_span else {}
    process = {"data__classification": on_resource} if on_resource else {}
    assert parse(answer(span("a", **own), **process)).spans[0].data_class == expected


def test_a_span_whose_parent_is_not_shown_says_so() -> None:
    assert "(parent not shown)" in shown(answer(span("a", "gone")))[1]


def test_spans_that_name_each_other_as_parents_are_shown_once() -> None:
    lines = shown(answer(span("a", "b", name="first"), span("b", "a", name="second")))
    assert sum("first" in line for line in lines) == sum("second" in line for line in lines) == 1


def test_a_very_deep_trace_is_shown() -> None:
    spans = [span(str(index), str(index - 1) if index else None) for index in range(1500)]
    assert len(parse(answer(*spans)).spans) == 1500
    assert tree(parse(answer(*spans)))


def test_names_cannot_steer_the_terminal() -> None:
    text = "\n".join(shown(answer(span("a", name="\x1b[2Jgone [red]x[/red]"))))
    assert "\x1b" not in text
    assert "[red]x[/red]" in text


def test_a_trace_is_asked_for_with_the_token() -> None:
    one, web = reader({f"{URLS['internal']}/api/traces/{TRACE_ID}": (200, {"data": [answer(span("a"))]})})
    assert one.one(TRACE_ID.upper()).spans[0].service == "recorder"
    assert web.requests[0][2]["headers"]["Authorization"] == "Bearer token-1"


def test_a_search_asks_for_the_service_the_time_and_the_errors() -> None:
    newest = answer(span("b", start=50)) | {"traceID": "bb"}
    one, web = reader({f"{URLS['internal']}/api/traces": (200, {"data": [answer(span("a")), newest]})})
    traces_read = one.search("recorder", errors=True, since_s=900, limit=7)
    assert [trace.trace_id for trace in traces_read] == ["bb", TRACE_ID]
    params = web.requests[0][2]["params"]
    assert params["service"] == "recorder"
    assert json.loads(params["tags"]) == {"error": "true"}
    assert int(params["end"]) - int(params["start"]) == 900_000_000
    assert params["limit"] == "7"


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (403, "", "refuses the token"),
        (401, "", "refuses the token"),
        (404, "", "no trace"),
        (500, "broken", "answered 500: broken"),
        (200, "<html>", "did not answer as Jaeger does"),
        (200, {"data": None}, "no trace"),
    ],
)
def test_what_goes_wrong_is_one_line(status: int, body: object, message: str) -> None:
    one, _ = reader({f"{URLS['internal']}/api/traces/{TRACE_ID}": (status, body)})
    with pytest.raises(OpsError, match=message) as caught:
        one.one(TRACE_ID)
    assert "token-1" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "zz", "../x", "0" * 33])
def test_what_is_no_trace_id_is_not_asked_for(text: str) -> None:
    one, web = reader({})
    with pytest.raises(OpsError, match="is no trace id"):
        one.one(text)
    assert not web.requests


@pytest.mark.parametrize(("value", "text"), [(5, "5 us"), (1500, "1.5 ms"), (2_500_000, "2.50 s")])
def test_durations_are_for_people(value: int, text: str) -> None:
    assert duration(value) == text


def test_the_highest_clearance_is_read_unless_another_is_asked_for(outputs: dict[str, Any]) -> None:
    platform = platform_module.parse({**outputs, "trace_query_urls": URLS})
    assert choose(platform, None) == ("internal", URLS["internal"])
    assert choose(platform, "public") == ("public", URLS["public"])
    with pytest.raises(OpsError, match="must be one of public, internal"):
        choose(platform, "confidential")
    with pytest.raises(OpsError, match="no trace queries"):
        choose(platform_module.parse(outputs), None)


def test_the_tool_signs_in_with_its_own_client(outputs: dict[str, Any]) -> None:
    platform = platform_module.parse({**outputs, "trace_login": LOGIN})
    answers = {
        "https://issuer/.well-known/openid-configuration": (200, {"token_endpoint": "https://issuer/token"}),
        "https://issuer/token": (200, {"access_token": "abc"}),
    }
    web = Web(answers)
    assert fetch_token(web, platform) == "abc"  # type: ignore[arg-type]
    method, _, options = web.requests[1]
    assert (method, options["data"]) == ("POST", b"grant_type=client_credentials")
    assert options["auth"] == ("ops", "secret-of-the-tool")
    assert web.trusted == "PEM of the provider"


@pytest.mark.parametrize(
    ("discovered", "token", "message"),
    [
        ((500, ""), (200, {}), "answered 500"),
        ((200, "x"), (200, {}), "did not answer with JSON"),
        ((200, {"token_endpoint": "http://issuer/token"}), (200, {}), "no token endpoint with https"),
        ((200, {"token_endpoint": "https://issuer/token"}), (401, {}), "answered 401"),
        ((200, {"token_endpoint": "https://issuer/token"}), (200, {}), "without a token"),
    ],
)
def test_a_provider_that_gives_no_token_is_named(
    outputs: dict[str, Any], discovered: tuple[int, object], token: tuple[int, object], message: str
) -> None:
    platform = platform_module.parse({**outputs, "trace_login": LOGIN})
    web = Web({"https://issuer/.well-known/openid-configuration": discovered, "https://issuer/token": token})
    with pytest.raises(OpsError, match=message):
        fetch_token(web, platform)  # type: ignore[arg-type]


def test_without_a_tools_login_a_token_file_is_asked_for(outputs: dict[str, Any]) -> None:
    with pytest.raises(OpsError, match="--token-file"):
        fetch_token(Web({}), platform_module.parse(outputs))  # type: ignore[arg-type]


def test_no_representation_shows_the_tools_secret(outputs: dict[str, Any]) -> None:
    assert "secret-of-the-tool" not in repr(platform_module.parse({**outputs, "trace_login": LOGIN}))


@pytest.fixture
def stack(outputs: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Web:
    """A stack with traces, and the servers behind it."""
    web = Web(
        {
            f"{URLS['internal']}/api/traces/{TRACE_ID}": (200, {"data": [answer(span("a"))]}),
            f"{URLS['internal']}/api/traces": (200, {"data": []}),
        }
    )
    monkeypatch.setattr(platform_module, "load", lambda: platform_module.parse({**outputs, "trace_query_urls": URLS}))
    monkeypatch.setattr(traces, "connected", lambda _: nullcontext(web))
    return web


def test_the_command_prints_the_tree(stack: Web, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("mine\n")
    done = CliRunner().invoke(cli.app, ["trace", TRACE_ID, "--token-file", str(tmp_path / "token")])
    assert done.exit_code == 0, done.output
    assert "recorder work" in done.output
    assert stack.requests[0][2]["headers"]["Authorization"] == "Bearer mine"


def test_a_search_without_a_result_is_exit_code_1(stack: Web, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("mine")
    arguments = ["trace", "--service", "nobody", "--token-file", str(tmp_path / "token")]
    done = CliRunner().invoke(cli.app, arguments)
    assert done.exit_code == 1
    assert "no such trace of nobody" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trace"], "either a trace id or --service"),
        (["trace", TRACE_ID, "--service", "x"], "either a trace id or --service"),
        (["trace", TRACE_ID, "--token-file", "/nowhere"], "cannot be read"),
    ],
)
def test_mistakes_are_one_line(stack: Web, arguments: list[str], message: str) -> None:
    del stack
    done = CliRunner().invoke(cli.app, arguments)
    assert isinstance(done.exception, OpsError)
    assert message in str(done.exception)


def test_an_empty_token_file_is_refused(stack: Web, tmp_path: Path) -> None:
    del stack
    (tmp_path / "token").write_text("\n")
    done = CliRunner().invoke(cli.app, ["trace", TRACE_ID, "--token-file", str(tmp_path / "token")])
    assert "is empty" in str(done.exception)
