"""The stored reports, read at the report server through a tunnel."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ops.core.access import ReportAccess
from ops.core.context import Context
from ops.core.errors import OpsError, one_line

WORKLOAD, PORT = "report-server", 8443
LATEST = "latest"


class StoredFile(BaseModel):
    """One file of a report."""

    model_config = ConfigDict(frozen=True)

    path: str
    bytes: int


class StoredReport(BaseModel):
    """One report, as the report server lists it."""

    model_config = ConfigDict(frozen=True)

    kind: str
    period: str
    period_end: datetime
    written_at: datetime
    files: tuple[StoredFile, ...]

    def file(self, language: str, suffix: str) -> StoredFile:
        """The file in a language.

        Raises:
            OpsError: There is none.
        """
        for file in self.files:
            if file.path.endswith(f".{language}.{suffix}"):
                return file
        have = ", ".join(".".join(file.path.rsplit(".", 2)[1:]) for file in self.files)
        raise OpsError(f"the {self.kind} report {self.period} is not stored as {language}.{suffix}: there is {have}")


class LastRun(BaseModel):
    """How the last run of a kind ended."""

    model_config = ConfigDict(frozen=True)

    ended_at: datetime
    failed: bool
    period: str = ""
    problem: str = ""


class Listing(BaseModel):
    """All that is stored: reports by kind, the newest first."""

    model_config = ConfigDict(frozen=True)

    read_at: datetime
    reports: tuple[StoredReport, ...]
    runs: Mapping[str, LastRun]

    def find(self, kind: str, period: str) -> StoredReport:
        """A report by its period, or the newest one.

        Raises:
            OpsError: There is none.
        """
        listed = [report for report in self.reports if report.kind == kind]
        for report in listed:
            if period in (LATEST, report.period):
                return report
        if not listed:
            raise OpsError(f"no {kind} report is stored: `ops report run {kind}` makes one")
        raise OpsError(f"no {kind} report {period} is stored: the newest is {listed[0].period}; see `ops report list`")


class ReportClient:
    """Reads at one of the report server's pods."""

    def __init__(self, context: Context, access: ReportAccess) -> None:
        self._web, self._auth = context.web, access.login
        self._url = context.tunnels.url(context.kube.ready_pod(WORKLOAD).name, PORT)

    def listing(self) -> Listing:
        """Everything that is stored.

        Raises:
            OpsError: The report server refuses, or has not been able to read the object storage.
        """
        try:
            return Listing.model_validate(json.loads(self._get("/reports")))
        except (json.JSONDecodeError, ValidationError) as error:
            raise OpsError(f"the report server did not answer with a list: {one_line(error)}") from None

    def content(self, file: StoredFile) -> bytes:
        """A file.

        Raises:
            OpsError: It cannot be read, or was cut short.
        """
        content = self._get(file.path)
        if len(content) != file.bytes:
            raise OpsError(f"{file.path} has {len(content)} of {file.bytes} bytes: it was made anew or cut; try again")
        return content

    def _get(self, path: str) -> bytes:
        answer = self._web.call("GET", f"{self._url}{path}", auth=self._auth)
        with answer:
            if answer.status_code != 200:
                raise OpsError(f"the report server answered {answer.status_code}: {one_line(answer.text, 160)}")
            return answer.content


def rows(listing: Listing, kinds: Sequence[str]) -> list[dict[str, Any]]:
    """One row per report of some kinds."""
    return [
        {
            "kind": report.kind,
            "period": report.period,
            "stored_at": report.written_at.isoformat(),
            "files": [".".join(file.path.rsplit(".", 2)[1:]) for file in report.files],
        }
        for report in listing.reports
        if report.kind in kinds
    ]
