"""Reports in the object storage, as ``<kind>/<year>/<period>.<language>.html`` and ``.pdf``, and how runs ended."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

from services.reports.errors import ReportError, one_line
from services.reports.model import Kind
from services.reports.periods import Period
from services.reports.settings import Storage
from services.reports.text import Language
from services.runtime import s3

HTML_TYPE, PDF_TYPE, JSON_TYPE = "text/html; charset=utf-8", "application/pdf", "application/json"
MAILED = "mailed-at"
"""Metadata of a page: when its report was mailed, and that it was."""
_CONNECT_S, _READ_S = 10, 60
_MISSING = frozenset({"404", "NoSuchKey", "NotFound"})
_KEY = re.compile(r"(daily|weekly|monthly)/\d{4}/([0-9W-]+)\.(en|ja)\.(html|pdf)")


def key(period: Period, language: Language, suffix: str) -> str:
    """Key of a file below the prefix."""
    return f"{period.kind.value}/{period.year}/{period.name}.{language}.{suffix}"


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A stored report.

    Attributes:
        kind: Which.
        period: Name of its period.
        files: Keys of its files, sorted.
        written: When the newest of them was stored.
    """

    kind: Kind
    period: str
    files: tuple[str, ...]
    written: datetime


class Store:
    """The bucket, below the prefix. Every call is bounded in time; an error is one line without credentials."""

    def __init__(self, settings: Storage) -> None:
        """Get ready.

        Raises:
            ReportError: A file with a key cannot be read.
        """
        self._settings = settings
        try:
            login = [
                file.read_text().strip() for file in (settings.access_key_id_file, settings.secret_access_key_file)
            ]
        except OSError as error:
            raise ReportError(f"{error.filename}: cannot be read: {error.strerror}") from None
        self._client: Any = s3.client(settings, (login[0], login[1]), connect_s=_CONNECT_S, read_s=_READ_S, attempts=3)

    def put(self, name: str, content: bytes, kind: str, metadata: Mapping[str, str] | None = None) -> None:
        """Store an object, in place of the one before.

        Args:
            name: Key below the prefix.
            content: What it holds.
            kind: Its content type.
            metadata: Its metadata.

        Raises:
            ReportError: The storage refuses it, or does not answer.
        """
        settings = self._settings
        more = {"ServerSideEncryption": settings.encryption} if settings.encryption else {}
        with self._errors(f"{name} cannot be stored"):
            self._client.put_object(
                Bucket=settings.bucket,
                Key=settings.prefix + name,
                Body=content,
                ContentType=kind,
                CacheControl="no-cache",
                Metadata=dict(metadata or {}),
                **more,
            )

    def mailed(self, name: str) -> str:
        """When the report of a page was mailed; empty where it was not, or is not there.

        Raises:
            ReportError: The storage refuses to tell, or does not answer.
        """
        with self._errors(f"{name} cannot be looked at"):
            try:
                head = self._client.head_object(Bucket=self._settings.bucket, Key=self._settings.prefix + name)
            except ClientError as error:
                if _code(error) in _MISSING:
                    return ""
                raise
        return str(head.get("Metadata", {}).get(MAILED, ""))

    def delete(self, name: str) -> None:
        """Remove an object; one that is not there is no error.

        Raises:
            ReportError: The storage refuses, or does not answer.
        """
        with self._errors(f"{name} cannot be removed"):
            self._client.delete_object(Bucket=self._settings.bucket, Key=self._settings.prefix + name)

    def names(self) -> list[tuple[str, datetime]]:
        """Keys below the prefix, and when each was written.

        Raises:
            ReportError: The storage refuses, or does not answer.
        """
        settings = self._settings
        with self._errors("reports cannot be listed"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=settings.bucket, Prefix=settings.prefix
            )
            return [
                (str(stored_object["Key"])[len(settings.prefix) :], stored_object["LastModified"])
                for page in pages
                for stored_object in page.get("Contents", ())
            ]

    def record(self, kind: Kind, *, failed: bool, period: str, problem: str = "") -> None:
        """Write down how a run ended (``runs/<kind>.json``), for who watches the jobs.

        Raises:
            ReportError: The storage refuses it, or does not answer.
        """
        ended = datetime.now(UTC).isoformat(timespec="seconds")
        content = {"ended_at": ended, "failed": failed, "period": period, "problem": problem}
        self.put(f"runs/{kind.value}.json", json.dumps(content, ensure_ascii=False).encode(), JSON_TYPE)

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        where = f"object storage {self._settings.endpoint or 'of AWS'}, bucket {self._settings.bucket}"
        try:
            yield
        except ClientError as error:
            raise ReportError(f"{where}: {what}: {_code(error) or 'refused'}") from None
        except (BotoCoreError, OSError) as error:
            raise ReportError(f"{where}: {what}: {one_line(error)}") from None


def stored(names: Sequence[tuple[str, datetime]]) -> list[Stored]:
    """The reports among keys, newest period first."""
    files: dict[tuple[str, str], list[tuple[str, datetime]]] = {}
    for name, written in names:
        match = _KEY.fullmatch(name)
        if match:
            files.setdefault((match[1], match[2]), []).append((name, written))
    stored_reports = [
        Stored(
            kind=Kind(kind),
            period=period,
            files=tuple(sorted(name for name, _ in held)),
            written=max(written for _, written in held),
        )
        for (kind, period), held in files.items()
    ]
    return sorted(stored_reports, key=lambda report: (_day(report), report.kind.value), reverse=True)


def _day(report: Stored) -> str:
    """The first day of a period, for the order."""
    if report.kind is Kind.WEEKLY:
        return datetime.strptime(f"{report.period}-1", "%G-W%V-%u").strftime("%Y-%m-%d")
    return report.period if report.kind is Kind.DAILY else f"{report.period}-01"


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
