"""A platform that stores reports, a cluster that runs their jobs, and a read address: each from memory."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException
from pydantic import SecretStr

from ops.core.access import ReportAccess
from ops.core.platform import Platform, parse

ACCESS = ReportAccess(
    time_zone="Asia/Tokyo", languages=("ja", "en"), reader="reader", password=SecretStr("password-of-reader")
)
PAGE, PAPER = "<p>日次</p>".encode(), b"%PDF-1.7"
FILES = {
    "/files/daily/2026/2026-11-24.ja.html": PAGE,
    "/files/daily/2026/2026-11-24.ja.pdf": PAPER,
    "/files/daily/2026/2026-11-23.ja.html": b"<p>older</p>",
    "/files/weekly/2026/2026-W47.en.html": b"<p>week</p>",
}


def listing(failed: str = "") -> dict[str, Any]:
    """What the report server lists."""

    def report(kind: str, period: str, end: str) -> dict[str, Any]:
        files = [
            {"path": path, "bytes": len(content)}
            for path, content in FILES.items()
            if path.startswith(f"/files/{kind}/2026/{period}.")
        ]
        return {"kind": kind, "period": period, "period_end": end, "written_at": "2026-11-24T21:10:30Z", "files": files}

    return {
        "read_at": "2026-11-25T00:00:00Z",
        "reports": [
            report("daily", "2026-11-24", "2026-11-24T15:00:00Z"),
            report("daily", "2026-11-23", "2026-11-23T15:00:00Z"),
            report("weekly", "2026-W47", "2026-11-22T15:00:00Z"),
        ],
        "runs": {
            "daily": {
                "ended_at": "2026-11-24T21:11:30Z",
                "failed": bool(failed),
                "period": "2026-11-24",
                "problem": failed,
            }
        },
    }


@dataclass
class Answer:
    """One answer of the report server."""

    status_code: int
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode(errors="replace")

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""


@dataclass
class ReportServerWeb:
    """The report server's answers by path; ``asked`` are the URLs with their logins."""

    answers: dict[str, Answer]
    requests: list[tuple[str, Any]] = field(default_factory=list)

    def call(self, method: str, url: str, *, auth: Any = None) -> Answer:
        assert method == "GET"
        self.requests.append((url, auth))
        return self.answers.get(url.removeprefix("https://localhost:7777"), Answer(404, b"no such file"))


def report_server_web(failed: str = "") -> ReportServerWeb:
    """A report server that has the files."""
    answers = {path: Answer(200, content) for path, content in FILES.items()}
    return ReportServerWeb({**answers, "/reports": Answer(200, json.dumps(listing(failed)).encode())})


def context(platform: Platform, web: ReportServerWeb, cluster: Cluster, ca_file: str = "") -> Any:
    """What `ops.core.context.Context` offers to these commands."""

    def url(pod: str, port: int) -> str:
        assert (pod, port) == ("report-server-0", 8443)
        return "https://localhost:7777"

    return SimpleNamespace(
        platform=platform,
        web=web,
        ca_file=ca_file,
        kube=cluster.kube,
        tunnels=SimpleNamespace(url=url),
    )


def platform(outputs: Mapping[str, Any], **changes: Any) -> Platform:
    """A platform of some outputs."""
    return parse({**outputs, **changes})


@dataclass
class Cluster:
    """The cluster's side of a job: ``states`` are what each look sees, the last one for ever.

    Attributes:
        states: Condition types of the Job, with the number of failed tries.
        lines: What its pod wrote.
        missing: Whether there is no CronJob.
        active: Name of a Job that is under way, or empty.
        created: Bodies of the Jobs that were made.
    """

    states: Sequence[tuple[str, int]] = (("Complete", 0),)
    lines: Sequence[str] = ("reports: daily report 2026-11-24: stored, 3 reports in the index", "")
    missing: bool = False
    active: str = ""
    pods: bool = True
    created: list[dict[str, Any]] = field(default_factory=list)
    looks: int = 0

    @property
    def kube(self) -> Any:
        """What `ops.core.kube.Kube` offers to these commands."""
        return SimpleNamespace(
            namespace="obs-local", core=self, ready_pod=lambda _: SimpleNamespace(name="report-server-0")
        )

    @property
    def api_client(self) -> Any:
        """The fake stands for the client of all groups."""
        return self

    def sanitize_for_serialization(self, value: Any) -> Any:
        return client.ApiClient().sanitize_for_serialization(value)  # type: ignore[no-untyped-call]

    def read_namespaced_cron_job(self, name: str, namespace: str, **_: Any) -> Any:
        if self.missing:
            raise ApiException(status=404, reason="Not Found")
        container = client.V1Container(name="reports", command=["python3", "-m", "services.reports", "daily"])
        template = client.V1PodTemplateSpec(
            metadata=client.V1ObjectMeta(labels={"app.kubernetes.io/name": name}),
            spec=client.V1PodSpec(containers=[container], restart_policy="Never"),
        )
        return client.V1CronJob(
            metadata=client.V1ObjectMeta(name=name, namespace=namespace, uid="uid-of-cron"),
            spec=client.V1CronJobSpec(
                schedule="10 6 * * *",
                job_template=client.V1JobTemplateSpec(
                    metadata=client.V1ObjectMeta(labels={"app.kubernetes.io/name": name}),
                    spec=client.V1JobSpec(active_deadline_seconds=3600, template=template),
                ),
            ),
            status=client.V1CronJobStatus(active=[client.V1ObjectReference(name=self.active)] if self.active else None),
        )

    def create_namespaced_job(self, namespace: str, body: dict[str, Any], **_: Any) -> Any:
        assert namespace == body["metadata"]["namespace"]
        self.created.append(body)
        return SimpleNamespace(
            metadata=SimpleNamespace(name=body["metadata"]["name"]),
            spec=SimpleNamespace(active_deadline_seconds=body["spec"]["activeDeadlineSeconds"]),
        )

    def read_namespaced_job(self, name: str, namespace: str, **_: Any) -> Any:
        kind, failed = self.states[min(self.looks, len(self.states) - 1)]
        self.looks += 1
        if kind == "error":
            raise ApiException(status=500, reason="Internal Server Error")
        conditions = [SimpleNamespace(type=kind, status="True", reason="BackoffLimitExceeded")] if kind else None
        return SimpleNamespace(status=SimpleNamespace(conditions=conditions, failed=failed))

    def list_namespaced_pod(self, namespace: str, *, label_selector: str, **_: Any) -> Any:
        name = label_selector.removeprefix("batch.kubernetes.io/job-name=")
        assert name == self.created[0]["metadata"]["name"]
        now = datetime.now(UTC)

        def pod(suffix: str, age: int) -> Any:
            return SimpleNamespace(
                metadata=SimpleNamespace(name=f"{name}-{suffix}", creation_timestamp=now - timedelta(seconds=age)),
                status=SimpleNamespace(phase="Running"),
            )

        return SimpleNamespace(items=[pod("new", 1), pod("old", 60)] if self.pods else [])

    def read_namespaced_pod_log(self, name: str, namespace: str, **_: Any) -> str:
        assert name.endswith("-new"), "the last try says why, not the first one"
        return "\n".join(self.lines)


@contextmanager
def connected(context: Any, access: ReportAccess = ACCESS) -> Iterator[tuple[Any, ReportAccess]]:
    """In place of the command's own connection."""
    yield context, access
