"""What the drill tries: a command that is refused, and each access in the report itself."""

from __future__ import annotations

import json
import stat
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ops.audit import tries
from ops.audit.log import AuditLog, findings
from ops.audit.report import content
from ops.audit.tries import Attempt, is_told, reported
from ops.core.errors import OpsError
from services.audit import Source
from services.audit.records import Access, AuditRecord, Entry, Outcome, linked

NOW = datetime.now(UTC)


def attempt(outcome: Outcome, target: str = "trace:00ff", what: str = "") -> Attempt:
    return Attempt(
        source=Source.TRACES,
        outcome=outcome,
        fits=lambda record: record.target == target,
        at=NOW.timestamp(),
        what=what,
    )


def record(outcome: Outcome, target: str = "trace:00ff", at: datetime = NOW) -> AuditRecord:
    reached = Access(time=at, who="carol", origin="10.0.0.1", action="read trace", target=target, outcome=outcome)
    return linked(Entry(access=reached, source=Source.TRACES), "region-a", None, at)


def log(*records: AuditRecord) -> AuditLog:
    return AuditLog(records=tuple((kept, True) for kept in records))


def told(tried: Attempt, *records: AuditRecord) -> bool:
    seen = findings(log(*records), NOW - timedelta(hours=1), NOW, UTC)
    return is_told(content(seen), seen, tried)


@pytest.mark.parametrize("outcome", [Outcome.ALLOWED, Outcome.REFUSED])
def test_an_access_is_told_by_its_own_row_or_as_the_last_of_who_did_so(outcome: Outcome) -> None:
    assert told(attempt(outcome), record(outcome))
    assert told(attempt(outcome), record(outcome), record(outcome, "trace:0000", NOW + timedelta(seconds=1)))
    assert not told(attempt(outcome), record(outcome, "trace:0000"))
    assert not told(attempt(outcome), record(Outcome.FAILED))
    assert not told(attempt(outcome), record(outcome, at=NOW - timedelta(hours=2))), "it is not in the period"


def test_what_the_report_leaves_out_is_not_told() -> None:
    seen = findings(log(record(Outcome.REFUSED), record(Outcome.ALLOWED)), NOW - timedelta(hours=1), NOW, UTC)
    assert not is_told({**content(seen), "refused": []}, seen, attempt(Outcome.REFUSED))
    assert not is_told({**content(seen), "who": []}, seen, attempt(Outcome.ALLOWED))


def test_each_attempt_has_the_time_until_the_report_had_it(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([log(), log(record(Outcome.REFUSED))])
    last = log(record(Outcome.REFUSED))
    monkeypatch.setattr(tries, "read", lambda *_: next(answers, last))
    monkeypatch.setattr(tries, "_EVERY_S", 0.01)
    context: Any = SimpleNamespace(platform=None)
    tried = [attempt(Outcome.REFUSED), attempt(Outcome.ALLOWED, what="ops")]
    seconds = reported(context, tried, limit_s=time.time() - NOW.timestamp() + 0.2)
    assert seconds["traces refused"] is not None
    assert seconds["ops allowed"] is None


def kubectl(folder: Path, monkeypatch: pytest.MonkeyPatch, said: str, code: int) -> Any:
    program = folder / "kubectl"
    program.write_text(
        f'#!/bin/sh\necho "$@" > {folder}/arguments\ncat > {folder}/content\necho "{said}" >&2\nexit {code}\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return SimpleNamespace(
        kube=SimpleNamespace(context="blue", namespace="obs"),
        platform=SimpleNamespace(left_out=lambda key: () if key == "audit.cluster" else ("out",)),
    )


def test_a_command_of_a_user_without_rights_is_refused_by_the_api_server_which_tells(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said = "Error from server (Forbidden): events is forbidden: User cannot create"
    context = kubectl(tmp_path, monkeypatch, said, 1)
    monkeypatch.setattr(tries.command_record, "current", lambda: None)
    [tried] = tries._ops(context)
    name = json.loads((tmp_path / "content").read_text())["reportingInstance"]
    arguments = (tmp_path / "arguments").read_text().split()
    assert arguments[:4] == [f"--as={name}", "--context=blue", "create", "--raw"]
    assert (tried.name, tried.source) == ("ops refused", Source.CLUSTER)
    reached = Access(
        time=NOW, who="admin", origin="::1", action="create", target="events", outcome="refused", detail={"as": name}
    )
    refused = linked(Entry(access=reached, source=Source.CLUSTER), "region-a", None, NOW)
    assert told(tried, refused)


@pytest.mark.parametrize(
    ("said", "code", "problem"), [("", 0, "it was let in"), ("error: the server is away", 1, "the server is away")]
)
def test_a_command_that_is_let_in_or_not_answered_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str, code: int, problem: str
) -> None:
    context = kubectl(tmp_path, monkeypatch, said, code)
    with pytest.raises(OpsError, match=f"a command of a user without rights must be refused: .*{problem}"):
        tries._ops(context)


def test_where_the_api_server_posts_nothing_no_refused_command_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tries.command_record, "current", lambda: SimpleNamespace(run="0123"))
    context: Any = SimpleNamespace(platform=SimpleNamespace(left_out=lambda _: ("audit.cluster is left out",)))
    assert [tried.name for tried in tries._ops(context)] == ["ops allowed"]


class Web:
    """Answers each request as it is told, and keeps them."""

    def __init__(self, *statuses: int) -> None:
        self.statuses, self.requests = list(statuses), [("", "", "")]
        self.requests.clear()

    def call(self, method: str, url: str, *, headers: Mapping[str, str], **_: object) -> AbstractContextManager[Any]:
        self.requests.append((method, url, headers.get("Authorization", "")))
        return nullcontext(SimpleNamespace(status_code=self.statuses.pop(0)))


def logins(web: Web, monkeypatch: pytest.MonkeyPatch, **urls: str) -> Any:
    monkeypatch.setattr(tries, "fetch_token", lambda *_: "token-of-the-tools")
    pods = [SimpleNamespace(ready=True)]
    named = {f"{name}-login": url for name, url in urls.items()}
    return SimpleNamespace(
        web=web,
        platform=SimpleNamespace(sign_in_urls=named, trace_login=object()),
        kube=SimpleNamespace(pods=lambda _: pods),
    )


def accessed(source: Source, outcome: Outcome, *, target: str, method: str = "GET") -> AuditRecord:
    reached = Access(
        time=datetime.now(UTC),
        who="ops",
        origin="10.0.0.1",
        action="query",
        target=target,
        outcome=outcome,
        detail={"method": method},
    )
    return linked(Entry(access=reached, source=source), "region-a", None, datetime.now(UTC))


def test_a_query_at_the_login_of_metrics_is_known_by_its_method(monkeypatch: pytest.MonkeyPatch) -> None:
    web = Web(401, 200)
    refused, allowed = tries._metrics(logins(web, monkeypatch, metrics="https://metrics"))
    (made_up, url, nothing), (posted, _, token) = web.requests
    assert (url, nothing, posted, token) == ("https://metrics/api/v1/query", "", "POST", "Bearer token-of-the-tools")
    assert (refused.name, allowed.name) == ("metrics refused", "metrics allowed")
    assert refused.fits(accessed(Source.METRICS, Outcome.REFUSED, target="metrics:query", method=made_up))
    assert not refused.fits(accessed(Source.METRICS, Outcome.REFUSED, target="metrics:query"))
    assert allowed.fits(accessed(Source.METRICS, Outcome.ALLOWED, target="metrics:query", method="POST"))


def test_a_read_at_the_login_of_alerts_is_known_by_a_silence_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    web = Web(401, 404)
    tried = tries._alerts(logins(web, monkeypatch, alerts="https://alerts"))
    assert [one.name for one in tried] == ["alerts refused", "alerts allowed"]
    for attempt_, (_, url, _) in zip(tried, web.requests, strict=True):
        silence = url.rpartition("/")[2]
        assert attempt_.fits(accessed(Source.ALERTS, attempt_.outcome, target=f"silence:{silence}"))
        assert not attempt_.fits(accessed(Source.ALERTS, attempt_.outcome, target="silence:other"))


@pytest.mark.parametrize(("statuses", "problem"), [((200,), "refused was answered 200"), ((401, 403), "answered 403")])
def test_a_login_that_answers_otherwise_is_one_line(
    monkeypatch: pytest.MonkeyPatch, statuses: tuple[int, ...], problem: str
) -> None:
    with pytest.raises(OpsError, match=rf"{problem}: the tools' client has to be in one of sign_in\.alerts\.groups"):
        tries._alerts(logins(Web(*statuses), monkeypatch, alerts="https://alerts"))


def test_without_logins_nothing_is_tried_there(monkeypatch: pytest.MonkeyPatch) -> None:
    context = logins(Web(), monkeypatch)
    assert [*tries._metrics(context), *tries._alerts(context)] == []
