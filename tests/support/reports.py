"""Reports on the live platform: run now, looked up in the object storage, on the report server and in people's mail."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from dataclasses import dataclass

from components.reports import Kind
from lab.fakes.receivers.client import Receivers
from lab.fakes.receivers.record import MAIL, Notification
from lab.storage import BUCKET, bucket_client
from ops.core.context import Context
from ops.core.platform import PROJECT
from ops.reports import PORT, WORKLOAD

JOB_S = 600
_TOLD = re.compile(r"report (\S+): stored")


@dataclass(frozen=True, kw_only=True)
class Ran:
    """A run of a job.

    Attributes:
        period: Name of the period whose report it stored; empty where it stored none.
        code: Exit code of the command that ran it.
        seconds: How long it took, its pod's start included.
        said: What the command told.
    """

    period: str
    code: int
    seconds: float
    said: str


def run_now(kind: Kind, *options: str) -> Ran:
    """Run a report's job in the cluster now, by ``ops report run``, and wait for its end."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "ops", "report", "run", str(kind), *options],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=JOB_S,
        check=False,
    )
    said = done.stdout + done.stderr
    match = _TOLD.search(done.stdout)
    return Ran(
        period=match[1] if match else "", code=done.returncode, seconds=round(time.monotonic() - began, 1), said=said
    )


def objects(kind: Kind, period: str) -> dict[str, bytes]:
    """Ending (``ja.html`` and the like) -> content of a report's objects, from the storage itself."""
    store = bucket_client()
    pages = store.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    keys = [str(stored_object["Key"]) for page in pages for stored_object in page.get("Contents", ())]
    wanted = re.compile(rf"(?:^|/){kind}/\d{{4}}/{re.escape(period)}\.(\w+\.\w+)")
    return {
        match[1]: store.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        for key in keys
        if (match := wanted.search(key))
    }


def from_report_server(context: Context, path: str, auth: tuple[str, str] | None) -> tuple[int, bytes]:
    """Status and content of what the report server answers."""
    base = context.tunnels.url(context.kube.ready_pod(WORKLOAD).name, PORT)
    with context.web.call("GET", base + path, auth=auth) as response:
        return response.status_code, response.content


def mails(receivers: Receivers, start: int) -> list[Notification]:
    """Reports that were mailed since ``start``; unlike mails about alerts, they have files attached."""
    return [
        notification
        for notification in receivers.find(start, channel=MAIL)
        if notification.body["headers"]["Content-Type"].startswith("multipart/mixed")
    ]
