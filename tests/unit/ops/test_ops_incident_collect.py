"""Collecting while servers are down, slow or broken: always an answer, in time, with what was seen before."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ops.core.errors import OpsError
from ops.core.kube import Kube
from ops.core.platform import Platform, parse
from ops.incidents.collect import FIELDS, SOURCES, Answer, Case, Clients, Lazy, collect, missing
from ops.incidents.document import html
from ops.incidents.evidence import Evidence
from ops.incidents.i18n import Language, Texts
from ops.incidents.record import Incident
from ops.incidents.report import Parts, document
from ops.incidents.times import TimeFormat, TimeWindow, zone
from tests.config.pki import write_certificates
from tests.config.servers import free_port
from tests.unit.ops import incident_samples as samples

WINDOW = TimeWindow(start=samples.after(-30), end=samples.after(80))
Collector = Callable[[Clients, Case], Answer]


def no_cluster(platform: Platform) -> Kube:
    raise OpsError(f"the cluster of {platform.namespace} does not answer")


@pytest.fixture
def platform(tmp_path: Path, outputs: dict[str, Any]) -> Platform:
    """A platform of which nothing answers: every address is a port that refuses."""
    write_certificates(tmp_path)
    port = free_port()
    base = f"https://localhost:{port}"
    login = {"username": "someone", "password": "a-long-password"}
    return parse(
        {
            **outputs,
            "ca_certificate": (tmp_path / "ca.crt").read_text(),
            "kafka_bootstrap": f"localhost:{port}",
            "query_url": base,
            "alertmanager_url": base,
            "alertmanager_operator": login,
            "trace_query_urls": {"internal": base},
            "trace_login": {"issuer": base, "client_id": "ops", "client_secret": "secret-of-the-tool"},
            "log_reader": login,
        }
    )


@pytest.fixture
def clients(platform: Platform) -> Iterator[Clients]:
    opened_reach = Clients(lambda: platform, no_cluster)
    yield opened_reach
    opened_reach.close()


def gather(clients: Clients, incident: Incident | None = None, **options: Any) -> Evidence:
    return collect(clients, incident or samples.incident(), WINDOW, **{"clearance": "internal", **options})


def answering(**fields: Any) -> Collector:
    return lambda clients, case: Answer(fields=fields)


def failing(error: Exception) -> Collector:
    def fail(clients: Clients, case: Case) -> Answer:
        raise error

    return fail


def test_a_platform_of_which_nothing_answers_makes_a_report_that_says_so(
    clients: Clients, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    begun = time.monotonic()
    evidence = gather(clients)
    assert time.monotonic() - begun < 60
    problems = {name: source.problem for name, source in missing(evidence)}
    assert set(problems) == set(SOURCES)
    for name in ("firing", "metrics", "silences", "traces"):
        assert "refused" in problems[name], problems[name]
    assert "does not answer" in problems["cluster"]
    assert "does not answer" in problems["logs"]
    assert "pulumi" in problems["changes"]
    assert "Kafka" in problems["events"]
    assert "a-long-password" not in evidence.model_dump_json()
    parts = Parts(samples.incident(), evidence, samples.after(90), Texts(Language.BOTH), TimeFormat(zone("UTC")))
    text = html(document(parts))
    assert text.count("Not collected: ") == len(SOURCES) - 1


def test_a_platform_that_is_not_known_is_no_error_either(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    calls = []

    def load() -> Platform:
        calls.append(1)
        raise OpsError("cannot read the stack's outputs")

    clients = Clients(load, no_cluster)
    evidence = gather(clients)
    clients.close()
    problems = {source.problem for name, source in missing(evidence) if name != "changes"}
    assert problems == {"cannot read the stack's outputs"}
    assert calls == [1]


def test_what_answers_is_kept_though_something_else_fails(clients: Clients) -> None:
    log = samples.evidence().logs[0]
    evidence = gather(clients, sources={"logs": answering(logs=(log,)), "traces": failing(OpsError("no"))})
    assert evidence.logs == (log,)
    assert [name for name, _ in missing(evidence)] == ["traces"]
    assert evidence.sources["logs"].collected is not None
    assert (evidence.start, evidence.end) == (WINDOW.start, WINDOW.end)


@pytest.mark.parametrize("error", [ValueError("odd\nanswer"), KeyError("data"), RuntimeError(), MemoryError("x" * 900)])
def test_any_failure_of_a_source_is_one_line(clients: Clients, error: Exception) -> None:
    problem = gather(clients, sources={"logs": failing(error)}).sources["logs"].problem
    assert type(error).__name__ in problem
    assert "\n" not in problem
    assert len(problem) < 250


def test_a_source_that_gives_no_answer_is_not_waited_for(clients: Clients) -> None:
    stop = threading.Event()

    def hang(clients: Clients, case: Case) -> Answer:
        stop.wait(200)
        return Answer(fields={"logs": ()})

    begun = time.monotonic()
    evidence = gather(clients, sources={"logs": hang, "silences": answering(silences=())}, limit_s=0.5)
    stop.set()
    assert time.monotonic() - begun < 60
    assert evidence.sources["logs"].problem == "no answer within 0.5 s"
    assert not evidence.sources["silences"].problem


def test_sources_are_asked_at_the_same_time(clients: Clients) -> None:
    meeting = threading.Barrier(3, timeout=60)

    def wait(clients: Clients, case: Case) -> Answer:
        meeting.wait()
        return Answer(fields={})

    evidence = gather(clients, sources=dict.fromkeys(("logs", "traces", "silences"), wait))
    assert not list(missing(evidence))


def test_what_was_collected_before_stays_where_a_source_fails_now(clients: Clients) -> None:
    before = samples.evidence()
    evidence = gather(
        clients, before=before, sources={"traces": failing(OpsError("gone")), "logs": failing(OpsError("x"))}
    )
    assert evidence.traces == before.traces
    assert evidence.clearance == "internal"
    assert evidence.sources["traces"].collected == before.sources["traces"].collected
    assert evidence.sources["traces"].problem == "gone"
    assert evidence.sources["logs"].collected is None
    assert evidence.logs == ()


def test_what_was_collected_before_is_replaced_where_a_source_answers(clients: Clients) -> None:
    evidence = gather(clients, before=samples.evidence(), sources={"traces": answering(traces=(), clearance="public")})
    assert (evidence.traces, evidence.clearance) == ((), "public")
    assert not evidence.sources["traces"].problem


def test_passwords_of_the_platform_do_not_stay_in_the_evidence(clients: Clients) -> None:
    line = samples.evidence().logs[0].model_copy(update={"text": "login with a-long-password failed"})

    def leak(clients: Clients, case: Case) -> Answer:
        clients.platform  # noqa: B018  (its passwords are known from then on)
        return Answer(fields={"logs": (line,)})

    sources = {"logs": leak, "traces": failing(OpsError("bad: secret-of-the-tool"))}
    evidence = gather(clients, sources=sources)
    assert evidence.logs[0].text == "login with [secret] failed"
    assert evidence.sources["traces"].problem == "bad: [secret]"


def test_every_field_of_the_evidence_belongs_to_a_source() -> None:
    assert set(FIELDS) == set(SOURCES)
    fields = {name for names in FIELDS.values() for name in names}
    assert fields == set(Evidence.model_fields) - {"version", "start", "end", "cut", "sources"}


def test_a_clearance_that_is_none_is_refused(clients: Clients) -> None:
    with pytest.raises(OpsError, match="--clearance is 'secret', must be one of public, internal, confidential"):
        gather(clients, clearance="secret")


def test_traces_above_the_clearance_of_the_stack_are_not_read(clients: Clients) -> None:
    evidence = gather(clients, clearance="confidential", sources={"traces": SOURCES["traces"]})
    assert evidence.sources["traces"].problem == "--clearance is 'confidential', must be one of internal"


def test_a_layer_that_sends_no_traces_is_remarked(clients: Clients) -> None:
    device = samples.incident(alert=samples.alert(layer="device", labels={"alertname": "A"}))
    evidence = gather(clients, device, sources={"traces": SOURCES["traces"]})
    assert evidence.sources["traces"].remark == "no service of this alert or its layer sends traces"


def test_progress_tells_every_source_once(clients: Clients) -> None:
    told: list[str] = []
    sources = {"logs": failing(OpsError("x")), "silences": answering(silences=())}
    gather(clients, sources=sources, done=told.append)
    assert sorted(told) == ["logs", "silences"]


def test_something_that_failed_once_fails_the_same_way_for_all() -> None:
    calls: list[int] = []

    def make() -> int:
        calls.append(1)
        raise OpsError("no")

    once = Lazy(make)
    for _ in range(3):
        with pytest.raises(OpsError, match="no"):
            once.get()
    assert calls == [1]
    assert once.existing() is None


def test_something_is_made_once_for_several_threads() -> None:
    calls: list[int] = []

    def make() -> int:
        time.sleep(0.05)
        calls.append(1)
        return os.getpid()

    once = Lazy(make)
    threads = [threading.Thread(target=once.get) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert calls == [1]
    assert once.existing() == os.getpid()
