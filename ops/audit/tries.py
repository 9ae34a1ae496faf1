"""One allowed and one refused access at each source, which the audit report then has to tell of (requirement M1).

Each is recognized by a name that nobody else uses. What brokers allow is not in their log, so nothing is tried there. A
command that is refused is told of by the API server, which refuses it.
"""

from __future__ import annotations

import json
import secrets
import string
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from components.audit import READER
from components.grafana.process import WORKLOAD as GRAFANA
from components.postgres.config import MAINTENANCE, SOCKET_DIRECTORY, SUPERUSER
from components.postgres.config import WORKLOAD as POSTGRES
from components.search.access import members
from components.search.config import HTTP_PORT as SEARCH_PORT
from components.search.config import WORKLOAD as SEARCH
from components.search.config import Engine
from components.search.indices import LOGS
from components.signin import ALERTS_LOGIN, METRICS_LOGIN
from ops.audit.log import CLOCK_BOUND, Findings, findings, read
from ops.audit.report import content
from ops.core import command_record
from ops.core.context import Context
from ops.core.errors import OpsError, one_line
from ops.core.grafana import administrator
from ops.core.jobs import run_in_pod
from ops.core.kafka import TIMEOUT_SECONDS, client_settings, consumer, errors
from ops.telemetry.traces import choose, fetch_token
from services.audit import Source
from services.audit.records import REFUSALS, AuditRecord, CommandEvent, Outcome, event

LIMIT_S: Final = 60.0
"""From an access to the report that tells of it."""
_EVERY_S: Final = 2.0
_BACK: Final = timedelta(minutes=30)


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """An access that was carried out.

    Attributes:
        source: Where.
        outcome: What must come of it.
        fits: Whether a record tells of it.
        at: When, on this machine's clock.
        what: What was tried, where that is not the source itself.
    """

    source: Source
    outcome: Outcome
    fits: Callable[[AuditRecord], bool]
    at: float
    what: str = ""

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.what or self.source} {self.outcome}"


def attempts(context: Context) -> list[Attempt]:
    """Carry them out.

    Raises:
        OpsError: One that must be allowed is refused, or the other way round.
    """
    return [
        *_kafka(context),
        *_traces(context),
        *_metrics(context),
        *_alerts(context),
        *_database(context),
        *_grafana(context),
        *_search(context),
        *_cluster(context),
        *_ops(context),
    ]


def _kafka(context: Context) -> list[Attempt]:
    platform, login = context.platform, context.platform.audit_reader
    if login is None:
        raise OpsError("the stack has no output `audit_reader`: run `pulumi up --policy-pack policy` with this version")
    topic = f"audit-try-{secrets.token_hex(6)}"
    at = time.time()
    with (
        consumer(client_settings(platform, login), READER) as reader,
        errors("no answer from Kafka"),
    ):
        error = reader.list_topics(topic, timeout=TIMEOUT_SECONDS).topics[topic].error
    if error is None or error.name() != "TOPIC_AUTHORIZATION_FAILED":
        raise OpsError(f"Kafka let {READER} see the topic {topic}, which it may not")
    target = f"topic:{topic}"
    return [
        Attempt(
            source=Source.KAFKA,
            outcome=Outcome.REFUSED,
            fits=lambda record: record.who == login.username and record.target == target,
            at=at,
        )
    ]


def _traces(context: Context) -> list[Attempt]:
    platform = context.platform
    if platform.trace_login is None:
        return []
    _, url = choose(platform, None)
    tried: list[Attempt] = []
    for outcome, token in ((Outcome.REFUSED, ""), (Outcome.ALLOWED, fetch_token(context.web, platform))):
        trace_id, at = secrets.token_hex(16), time.time()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        with context.web.call("GET", f"{url}/api/traces/{trace_id}", headers=headers) as response:
            refused = response.status_code in (401, 403)
        if refused != (outcome is Outcome.REFUSED):
            raise OpsError(f"{url} answered {response.status_code} to a read of a trace that must be {outcome}")
        target = f"trace:{trace_id}"
        tried.append(Attempt(source=Source.TRACES, outcome=outcome, fits=_about(target), at=at))
    return tried


def _metrics(context: Context) -> list[Attempt]:
    """Its queries have no names of their own: nobody else posts one with the tools' token, or uses a made-up method."""
    url, login = context.platform.sign_in_urls.get(METRICS_LOGIN), context.platform.trace_login
    if url is None or login is None or not any(pod.ready for pod in context.kube.pods(METRICS_LOGIN)):
        return []
    made_up = "".join(secrets.choice(string.ascii_uppercase) for _ in range(10))
    token = fetch_token(context.web, context.platform)
    tried: list[Attempt] = []
    for outcome, method, headers in (
        (Outcome.REFUSED, made_up, {}),
        (Outcome.ALLOWED, "POST", {"Authorization": f"Bearer {token}"}),
    ):
        at = time.time()
        with context.web.call(method, f"{url}/api/v1/query", headers=headers, params={"query": "1"}) as response:
            _expect(outcome, response.status_code, f"a query at {url}", METRICS_LOGIN)
        fits = _by_method(method, datetime.fromtimestamp(at, UTC) - CLOCK_BOUND)
        tried.append(Attempt(source=Source.METRICS, outcome=outcome, fits=fits, at=at))
    return tried


def _by_method(method: str, since: datetime) -> Callable[[AuditRecord], bool]:
    return lambda record: record.detail.get("method") == method and record.time >= since


def _alerts(context: Context) -> list[Attempt]:
    url, login = context.platform.sign_in_urls.get(ALERTS_LOGIN), context.platform.trace_login
    if url is None or login is None or not any(pod.ready for pod in context.kube.pods(ALERTS_LOGIN)):
        return []
    token = fetch_token(context.web, context.platform)
    tried: list[Attempt] = []
    for outcome, headers in ((Outcome.REFUSED, {}), (Outcome.ALLOWED, {"Authorization": f"Bearer {token}"})):
        silence, at = str(uuid.uuid4()), time.time()
        with context.web.call("GET", f"{url}/api/v2/silence/{silence}", headers=headers) as response:
            _expect(outcome, response.status_code, f"a read of a silence at {url}", ALERTS_LOGIN)
        tried.append(Attempt(source=Source.ALERTS, outcome=outcome, fits=_about(f"silence:{silence}"), at=at))
    return tried


def _expect(outcome: Outcome, status: int, what: str, login: str) -> None:
    """Compare an answer of a login with what must come of it.

    Raises:
        OpsError: It is another one.
    """
    if (status in REFUSALS) == (outcome is Outcome.REFUSED):
        return
    section = login.partition("-")[0]
    raise OpsError(
        f"{what} that must be {outcome} was answered {status}: the tools' client has to be in one of "
        f"sign_in.{section}.groups"
    )


def _database(context: Context) -> list[Attempt]:
    kube = context.kube
    pods = [pod.name for pod in kube.pods(POSTGRES) if pod.ready]
    if not pods:
        return []
    name = f"audit_try_{secrets.token_hex(6)}"
    local = f"host={SOCKET_DIRECTORY} user={SUPERUSER} dbname={MAINTENANCE} application_name={name}"
    remote = f"host=127.0.0.1 user={name} dbname={MAINTENANCE} sslmode=require"
    tried = []
    for outcome, connection in ((Outcome.ALLOWED, local), (Outcome.REFUSED, remote)):
        at = time.time()
        try:
            run_in_pod(kube, pods[0], POSTGRES, ["psql", "-XAtqw", "-c", "SELECT 1", connection])
            problem = ""
        except OpsError as error:
            problem = str(error)
        if bool(problem) != (outcome is Outcome.REFUSED):
            raise OpsError(f"a login at PostgreSQL that must be {outcome}: {problem or 'it was let in'}")
        tried.append(Attempt(source=Source.DATABASE, outcome=outcome, fits=_by(name), at=at))
    return tried


def _grafana(context: Context) -> list[Attempt]:
    platform = context.platform
    if platform.grafana_admin is None or not any(pod.ready for pod in context.kube.pods(GRAFANA)):
        return []
    tried: list[Attempt] = []
    for outcome, login in ((Outcome.REFUSED, None), (Outcome.ALLOWED, administrator(platform))):
        uid, at = f"audit-try-{secrets.token_hex(6)}", time.time()
        with context.web.call("GET", f"{platform.grafana_url}/api/dashboards/uid/{uid}", auth=login) as response:
            refused = response.status_code in (401, 403)
        if refused != (outcome is Outcome.REFUSED):
            raise OpsError(f"Grafana answered {response.status_code} to a read of a dashboard that must be {outcome}")
        tried.append(Attempt(source=Source.GRAFANA, outcome=outcome, fits=_about(f"dashboard:{uid}"), at=at))
    return tried


def _search(context: Context) -> list[Attempt]:
    login = context.platform.log_reader
    pods = [pod.name for pod in context.kube.pods(SEARCH) if pod.ready]
    if login is None or not pods:
        return []
    url = context.tunnels.url(pods[0], SEARCH_PORT)
    with context.web.call("GET", url, auth=login.pair) as response:
        if f'"{Engine.OPENSEARCH}"' not in response.text:
            return []  # another engine's audit log is not read
    tried: list[Attempt] = []
    # Neither index is there: who may read the first one is told that, who may not read the other one is refused.
    for outcome, head in ((Outcome.ALLOWED, members(LOGS).rstrip("*")), (Outcome.REFUSED, "")):
        index, at = f"{head}audit-try-{secrets.token_hex(6)}", time.time()
        with context.web.call("GET", f"{url}/{index}/_search", auth=login.pair) as response:
            refused = response.status_code in (401, 403)
        if refused != (outcome is Outcome.REFUSED):
            raise OpsError(f"the search cluster answered {response.status_code} to a read that must be {outcome}")
        tried.append(Attempt(source=Source.SEARCH, outcome=outcome, fits=_about(f"index:{index}"), at=at))
    return tried


def _cluster(context: Context) -> list[Attempt]:
    if context.platform.left_out("audit.cluster"):
        return []
    tried: list[Attempt] = []
    for outcome in (Outcome.REFUSED, Outcome.ALLOWED):
        name, at = f"audit-try-{secrets.token_hex(6)}", time.time()
        # Neither is there: the operator is told that, a user without rights is refused.
        refused = not context.kube.may_read_secret(name, name if outcome is Outcome.REFUSED else None)
        if refused != (outcome is Outcome.REFUSED):
            raise OpsError(f"the API server let a read of a Secret be the other way than {outcome}")
        tried.append(Attempt(source=Source.CLUSTER, outcome=outcome, fits=_about(f"secrets/{name}"), at=at))
    return tried


def _by(name: str) -> Callable[[AuditRecord], bool]:
    return lambda record: name in (record.who, record.detail.get("program"))


def _ops(context: Context) -> list[Attempt]:
    tried = [] if context.platform.left_out("audit.cluster") else [_refused_command(context)]
    command = command_record.current()
    if command is None:
        return tried
    run = command.run
    return [
        *tried,
        Attempt(
            source=Source.OPS,
            outcome=Outcome.ALLOWED,
            fits=lambda record: record.detail.get("run") == run,
            at=time.time(),
        ),
    ]


def _refused_command(context: Context) -> Attempt:
    """As a user without rights, the request by which a command tells of itself."""
    kube, name, at = context.kube, f"audit-try-{secrets.token_hex(6)}", time.time()
    told = CommandEvent(run=name, account=name, user=name, machine=name, command="audit", state="started")
    target = [f"--context={kube.context}"] if kube.context else []
    request = ["create", "--raw", f"/api/v1/namespaces/{kube.namespace}/events", "-f", "-"]
    try:
        done = subprocess.run(
            ["kubectl", f"--as={name}", *target, *request, f"--request-timeout={TIMEOUT_SECONDS:.0f}s"],
            input=json.dumps(event(told, kube.namespace, datetime.now(UTC))),
            capture_output=True,
            text=True,
            timeout=2 * TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise OpsError(f"cannot run kubectl: {one_line(error)}") from None
    if "forbidden" not in done.stderr.lower():
        problem = one_line(done.stderr) if done.returncode else "it was let in"
        raise OpsError(f"a command of a user without rights must be refused: {problem}")
    return Attempt(
        source=Source.CLUSTER,
        outcome=Outcome.REFUSED,
        fits=lambda record: record.detail.get("as") == name,
        at=at,
        what=Source.OPS,
    )


def _about(target: str) -> Callable[[AuditRecord], bool]:
    return lambda record: record.target == target


def reported(context: Context, tried: Sequence[Attempt], limit_s: float = LIMIT_S) -> dict[str, float | None]:
    """Name of each attempt -> seconds until the report told of it; None: not within the limit.

    Raises:
        OpsError: The audit log cannot be read.
    """
    start = datetime.fromtimestamp(min(attempt.at for attempt in tried), UTC) - _BACK
    deadline = max(attempt.at for attempt in tried) + limit_s
    seconds: dict[str, float | None] = {attempt.name: None for attempt in tried}
    while any(value is None for value in seconds.values()):
        seen = findings(read(context.platform, start), start, datetime.now(UTC), UTC)
        report = content(seen)
        for attempt in tried:
            if seconds[attempt.name] is None and is_told(report, seen, attempt):
                seconds[attempt.name] = round(time.time() - attempt.at, 1)
        if time.time() > deadline:
            break
        time.sleep(_EVERY_S)
    return seconds


def is_told(report: Mapping[str, Any], seen: Findings, attempt: Attempt) -> bool:
    """Whether the report has an access: a refused one by itself, another one as the last of who did so."""
    if attempt.outcome is Outcome.REFUSED:
        return any(_tells_of(AuditRecord.model_validate(row), attempt) for row in report["refused"])
    last = {(row["who"], row["source"], row["outcome"]): datetime.fromisoformat(row["last"]) for row in report["who"]}
    return any(
        (at := last.get((record.who, record.source, record.outcome))) is not None and at >= record.time
        for record in seen.people
        if _tells_of(record, attempt)
    )


def _tells_of(record: AuditRecord, attempt: Attempt) -> bool:
    return record.source is attempt.source and record.outcome is attempt.outcome and attempt.fits(record)
