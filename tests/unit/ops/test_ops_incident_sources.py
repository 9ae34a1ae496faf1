"""What the sources make of their servers' answers: traces, logs, Kubernetes, Pulumi."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from kubernetes import client

from lab.toolchain import tools
from ops.core.errors import OpsError
from ops.core.kube import Kube
from ops.incidents import sources as changes_module
from ops.incidents.record import TimeWindow
from ops.incidents.sources import (
    MOST_CLUSTER_EVENTS,
    WindowReader,
    changes,
    cluster,
    logs,
    parse_history,
    query,
    services_of,
    traces,
)
from tests.unit.ops import incident_samples as samples

WINDOW = TimeWindow(start=samples.after(-30), end=samples.after(80))


class Web:
    """A fake of `ops.core.web.Web`: gives its answers in turn, then the last one again."""

    def __init__(self, *answers: object, status: int = 200) -> None:
        self.answers, self.status = list(answers), status
        self.requests: list[dict[str, Any]] = []

    def call(self, method: str, url: str, **options: Any) -> requests.Response:
        self.requests.append({"method": method, "url": url, **options})
        response = requests.Response()
        response.status_code = self.status
        response._content_consumed = True  # type: ignore[attr-defined]
        body = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        response._content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        return response


def jaeger_trace(
    trace_id: str, minutes: float, duration_us: int, *, error: bool = False, **tags: str
) -> dict[str, Any]:
    marks = [{"key": "error", "value": True}] if error else []
    return {
        "traceID": trace_id,
        "processes": {"p1": {"serviceName": "recording", "tags": []}, "p2": {"serviceName": "metadata", "tags": []}},
        "spans": [
            {
                "traceID": trace_id,
                "spanID": f"{index}",
                "operationName": f"step {index}",
                "startTime": int(samples.after(minutes).timestamp() * 1e6) + index,
                "duration": duration_us // (index + 1),
                "processID": f"p{index + 1}",
                "references": [],
                "tags": [*marks, *({"key": key.replace("__", "."), "value": value} for key, value in tags.items())],
            }
            for index in range(2)
        ],
    }


def reader(*answers: object) -> tuple[WindowReader, Web]:
    web = Web(*answers)
    return WindowReader(web, "https://jaeger", "token-of-the-tool", "internal"), web  # type: ignore[arg-type]


def test_failed_and_slow_traces_of_the_window_are_asked_for() -> None:
    trace_reader, web = reader({"data": []})
    assert traces(trace_reader, ("recording",), WINDOW) == ((), False)
    failed, slow = (request["params"] for request in web.requests)
    assert failed["service"] == slow["service"] == "recording"
    assert failed["start"] == str(int(WINDOW.start.timestamp() * 1e6))
    assert failed["end"] == str(int(WINDOW.end.timestamp() * 1e6))
    assert json.loads(failed["tags"]) == {"error": "true"}
    assert slow["minDuration"] == "1000000us"
    assert "tags" not in slow
    assert "minDuration" not in failed


def test_a_trace_is_told_once_without_its_attributes() -> None:
    both = jaeger_trace("aa", 5, 2_000_000, error=True, user__name="hanako", data__classification="internal")
    slow = jaeger_trace("bb", 1, 3_000_000, data__classification="confidential")
    trace_reader, _ = reader({"data": [both]}, {"data": [both, slow]})
    seen, cut = traces(trace_reader, ("recording",), WINDOW)
    assert [(trace_summary.trace_id, trace_summary.failed, trace_summary.data_class) for trace_summary in seen] == [
        ("bb", False, "confidential"),
        ("aa", True, "internal"),
    ]
    assert not cut
    assert seen[1].services == ("recording", "metadata")
    assert (seen[1].service, seen[1].operation, seen[1].duration_us) == ("recording", "step 0", 2_000_000)
    assert "hanako" not in seen[1].model_dump_json()


def test_of_too_many_traces_the_failed_ones_stay() -> None:
    slow = [jaeger_trace(f"a{index}", index / 10, 2_000_000) for index in range(60)]
    failed = [jaeger_trace(f"b{index}", index / 10, 1000, error=True) for index in range(15)]
    trace_reader, _ = reader({"data": failed}, {"data": slow})
    seen, cut = traces(trace_reader, ("recording",), WINDOW)
    assert (len(seen), cut) == (40, True)
    assert sum(trace_summary.failed for trace_summary in seen) == 15


def test_a_trace_that_the_login_may_not_read_is_an_error() -> None:
    web = Web("no", status=403)
    with pytest.raises(OpsError, match="refuses the token") as raised:
        traces(WindowReader(web, "https://jaeger", "token-of-the-tool", "internal"), ("a",), WINDOW)  # type: ignore[arg-type]
    assert "token-of-the-tool" not in str(raised.value)


@pytest.mark.parametrize(
    ("layer", "labels", "expected"),
    [
        ("streaming", {}, ("device-edge", "streaming", "recording")),
        ("streaming", {"service": "recording"}, ("recording", "device-edge", "streaming")),
        ("business", {"job": "kafka"}, ("metadata",)),
        ("device", {}, ()),
        ("", {"job": "kafka"}, ()),
        ("", {"service_name": "metadata"}, ("metadata",)),
    ],
)
def test_the_services_are_those_of_the_alert_and_its_layer(
    layer: str, labels: dict[str, str], expected: tuple[str, ...]
) -> None:
    incident = samples.incident(alert=samples.alert(layer=layer, labels={"alertname": "A", **labels}))
    assert services_of(incident) == expected


def hit(name: str, time: str, **source: Any) -> dict[str, Any]:
    return {"_id": name, "_source": {"@timestamp": time, "service": "recorder", "severity": "ERROR", **source}}


def search(*hits: dict[str, Any], total: int | None = None) -> dict[str, Any]:
    return {"hits": {"hits": list(hits), "total": {"value": len(hits) if total is None else total}}}


def test_errors_of_the_layer_in_the_window_are_asked_for_the_oldest_first() -> None:
    web = Web(search())
    assert logs(web, "https://search", ("log-reader", "hunter2"), samples.incident(), WINDOW) == ((), 0)  # type: ignore[arg-type]
    request = json.loads(web.requests[0]["data"])
    assert request["query"]["bool"]["filter"] == [
        {"range": {"@timestamp": {"gte": "2026-11-24T21:40:00+00:00", "lte": "2026-11-24T23:30:00+00:00"}}},
        {"range": {"severity_number": {"gte": 17}}},
        {"term": {"layer": "streaming"}},
    ]
    assert request["sort"] == [{"@timestamp": "asc"}]
    assert web.requests[0]["auth"] == ("log-reader", "hunter2")


def test_errors_of_the_service_are_asked_for_where_there_is_no_layer() -> None:
    own = samples.alert(layer="", labels={"alertname": "KafkaBrokerDown", "job": "kafka"})
    assert query(samples.incident(alert=own), WINDOW)["bool"]["filter"][2] == {"term": {"service": "kafka"}}


@pytest.mark.parametrize("time", ["2026-11-24T22:10:00.123456789Z", "2026-11-24T22:10:00.123Z", "2026-11-24T22:10:00Z"])
def test_lines_are_read_with_attributes_without_control_characters(time: str) -> None:
    web = Web(search(hit("a", time, body="not stored\x1b[2J", attributes={"error.type": "timeout"}), total=500))
    lines, total = logs(web, "https://search", ("a", "b"), samples.incident(), WINDOW)  # type: ignore[arg-type]
    assert total == 500
    assert lines[0].text == "not stored\ufffd[2J | error.type=timeout"
    assert lines[0].at.replace(microsecond=0) == samples.START


@pytest.mark.parametrize(("status", "body"), [(401, "Unauthorized"), (200, "[]"), (200, '{"hits": 1}'), (200, "x")])
def test_an_answer_that_is_none_is_one_line(status: int, body: str) -> None:
    with pytest.raises(OpsError, match="the search cluster") as raised:
        logs(Web(body, status=status), "https://search", ("a", "hunter2"), samples.incident(), WINDOW)  # type: ignore[arg-type]
    assert "hunter2" not in str(raised.value)


def stamp(minutes: float) -> str:
    return samples.after(minutes).strftime("%Y-%m-%dT%H:%M:%SZ")


def kube_event(minutes: float, kind: str = "Warning", reason: str = "BackOff", count: int = 1) -> dict[str, Any]:
    return {
        "metadata": {"name": "e", "namespace": "obs-local"},
        "involvedObject": {"kind": "Pod", "name": "recorder-1"},
        "type": kind,
        "reason": reason,
        "message": "Back-off restarting failed container",
        "count": count,
        "lastTimestamp": stamp(minutes),
    }


def owned(minutes: float, kind: str, name: str, **labels: str) -> dict[str, Any]:
    return {
        "metadata": {
            "name": f"{name}-x",
            "creationTimestamp": stamp(minutes),
            "labels": {key.replace("_", "-"): value for key, value in labels.items()},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": "u"}],
        },
        "revision": 2,
        "data": {},
        "spec": {"selector": {}, "replicas": 1},
    }


def pod(minutes: float, exit_code: int = 137) -> dict[str, Any]:
    ended = {"exitCode": exit_code, "reason": "OOMKilled", "finishedAt": stamp(minutes)}
    return {
        "metadata": {"name": "kafka-0"},
        "spec": {"containers": [{"name": "kafka"}]},
        "status": {
            "containerStatuses": [
                {
                    "name": "kafka",
                    "image": "i",
                    "imageID": "i",
                    "ready": True,
                    "restartCount": 3,
                    "state": {"running": {"startedAt": stamp(minutes)}},
                    "lastState": {"terminated": ended},
                }
            ]
        },
    }


class Api:
    """A web server that answers as the API server does, for the real client."""

    def __init__(self, answers: dict[str, list[dict[str, Any]]]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                what = self.path.partition("?")[0].rpartition("/")[2]
                body = json.dumps({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": answers.get(what, [])})
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *arguments: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        settings = client.Configuration()
        settings.host = f"http://127.0.0.1:{self.server.server_port}"
        self.kube = Kube(client.ApiClient(settings), "obs-local")

    def close(self) -> None:
        self.kube.close()
        self.server.shutdown()
        self.server.server_close()


def seen_in(answers: dict[str, list[dict[str, Any]]]) -> tuple[list[tuple[str, str, str]], int]:
    api = Api(answers)
    try:
        events, total = cluster(api.kube, WINDOW)
    finally:
        api.close()
    return [(event.kind, event.subject, event.text) for event in events], total


def test_warnings_restarts_and_rollouts_of_the_window_are_told_in_order() -> None:
    events, total = seen_in(
        {
            "events": [kube_event(3, count=7), kube_event(1, "Normal", "Pulled"), kube_event(2, "Normal", "Killing")],
            "pods": [pod(1)],
            "replicasets": [owned(-6, "Deployment", "gateway", pod_template_hash="6c9d")],
            "controllerrevisions": [owned(-5, "StatefulSet", "kafka", controller_revision_hash="kafka-7f")],
        }
    )
    assert events == [
        ("rollout", "Deployment gateway", "new revision 6c9d"),
        ("rollout", "StatefulSet kafka", "new revision kafka-7f"),
        ("restart", "Pod kafka-0, container kafka", "exit code 137, 3 restarts so far"),
        ("event", "Pod recorder-1", "Back-off restarting failed container"),
        ("event", "Pod recorder-1", "Back-off restarting failed container (7 times)"),
    ]
    assert total == 5


def test_what_lies_outside_the_window_is_left_out() -> None:
    outside = {"events": [kube_event(-31), kube_event(81)], "pods": [pod(-40)], "replicasets": [owned(-99, "D", "a")]}
    assert seen_in(outside) == ([], 0)


def test_of_too_many_events_restarts_and_warnings_stay() -> None:
    events = [kube_event(index / 10, "Normal", "Killing") for index in range(150)] + [kube_event(20)]
    events_shown, total = seen_in({"events": events, "pods": [pod(21)]})
    assert (len(events_shown), total) == (MOST_CLUSTER_EVENTS, 152)
    assert [event[0] for event in events_shown][-1] == "restart"
    assert "Back-off" in events_shown[-2][2]


def update(minutes: float, **changes: Any) -> dict[str, Any]:
    return {
        "version": 41,
        "kind": "update",
        "startTime": stamp(minutes),
        "endTime": stamp(minutes + 1),
        "message": "Storage address\nof the recorder",
        "environment": {"git.head": "54fe94a1234567890", "git.author": "Tanaka"},
        "config": {"observability:alertingSecrets": {"value": "not-to-be-told", "secret": True}},
        "result": "succeeded",
        "resourceChanges": {"update": 2, "same": 290},
        **changes,
    }


def test_updates_of_the_window_are_told_without_their_configuration() -> None:
    history = [update(200), update(-5), update(-99), update(-6, kind="preview"), update(-31, endTime=stamp(-29))]
    updates, total = parse_history(json.dumps(history), WINDOW)
    assert total == 2
    assert [change.at for change in updates] == [samples.after(-31), samples.after(-5)]
    assert (updates[1].message, updates[1].commit, updates[1].author) == (
        "Storage address of the recorder",
        "54fe94a12345",
        "Tanaka",
    )
    assert updates[1].changes == {"update": 2, "same": 290}
    assert "not-to-be-told" not in str(updates)


def test_an_update_that_still_runs_is_told() -> None:
    [change], _ = parse_history(json.dumps([update(-5, endTime=None, result="in-progress")]), WINDOW)
    assert (change.end, change.result) == (None, "in-progress")


def test_of_very_many_updates_it_is_known_how_many_there_were() -> None:
    updates, total = parse_history(json.dumps([update(-5) for _ in range(30)]), WINDOW)
    assert (len(updates), total) == (20, 30)


@pytest.mark.parametrize("text", ["", "{}x", "[1]", '[{"kind": "update"}]', '[{"kind": "update", "startTime": "x"}]'])
def test_what_is_no_history_is_refused(text: str) -> None:
    with pytest.raises(OpsError, match="did not print a history"):
        parse_history(text, WINDOW)


def test_the_real_command_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tools.path("pulumi").parent
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{tmp_path}/backend")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "a passphrase")
    monkeypatch.setenv("PULUMI_SKIP_UPDATE_CHECK", "true")
    for name in ("PULUMI_STACK", "PULUMI_CONFIG_PASSPHRASE_FILE", "PULUMI_OPTION_CWD"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "backend").mkdir()
    (tmp_path / "Pulumi.yaml").write_text("name: incident\nruntime: python\n")
    now = datetime.now(UTC)
    window = TimeWindow(start=now - timedelta(minutes=5), end=now + timedelta(minutes=5))

    def pulumi(*words: str) -> None:
        done = subprocess.run(
            ["pulumi", *words, "--non-interactive"], cwd=tmp_path, capture_output=True, text=True, timeout=90
        )
        assert done.returncode == 0, done.stderr

    with pytest.raises(OpsError, match=r"`pulumi stack history`: .*no stack"):
        changes(window, tmp_path)
    pulumi("stack", "init", "dev")
    assert changes(window, tmp_path) == ((), 0)
    pulumi("refresh", "--yes", "--message", "why it was done")
    [change], _ = changes(window, tmp_path)
    assert (change.kind, change.result, change.message) == ("refresh", "succeeded", "why it was done")


def test_without_pulumi_one_line_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OpsError, match="`pulumi` is not on PATH"):
        changes(WINDOW)


def test_a_pulumi_that_gives_no_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "pulumi"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(changes_module, "_HISTORY_TIMEOUT_SECONDS", 0.5)
    with pytest.raises(OpsError, match=r"gave no answer in 0\.5 s"):
        changes(WINDOW, tmp_path)
