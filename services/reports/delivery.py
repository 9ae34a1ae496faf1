"""Where reports go: the object storage, as ``<kind>/<year>/<period>.<language>.html`` and ``.pdf`` with how runs
ended and who was mailed; the index of all stored ones; the mail server, over TLS with a login.
"""

from __future__ import annotations

import json
import math
import re
import smtplib
import ssl
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from typing import Any

from botocore.exceptions import ClientError  # type: ignore[import-untyped]
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.reports import Language, Mail
from services.reports.model import Figure, Figures, Kind, Period, Report, ReportError, translate
from services.reports.render import environment
from services.runtime import one_line, s3
from services.runtime.settings import Storage

HTML_TYPE, PDF_TYPE, JSON_TYPE = "text/html; charset=utf-8", "application/pdf", "application/json"
_CONNECT_S, _READ_S = 10, 60
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


class Taken(BaseModel):
    """When a recipient's mail was taken, and by which job it was sent; empty where that is not known."""

    model_config = ConfigDict(frozen=True)

    at: datetime
    job: str = ""


class Mailing(BaseModel):
    """Who took the mails about a period.

    Attributes:
        complete: Whether the period was over.
        recipients: Address -> the last mail that was taken.
    """

    model_config = ConfigDict(frozen=True)

    complete: bool = False
    recipients: Mapping[str, Taken] = Field(default_factory=dict)

    def have(self, *, complete: bool, again: bool, job: str) -> frozenset[str]:
        """Who is not to be mailed: who has the report of the whole period, or was mailed by an earlier try of the job.

        Args:
            complete: Whether the period is over.
            again: Whether the report is to be mailed once more.
            job: The job; empty where its tries cannot be told from other runs.
        """
        if complete != self.complete:
            return frozenset()
        once = complete and not again
        return frozenset(address for address, taken in self.recipients.items() if once or (job and taken.job == job))

    def with_taken(self, addresses: Iterable[str], *, complete: bool, job: str) -> Mailing:
        """With those that took it now."""
        now = Taken(at=datetime.now(UTC).replace(microsecond=0), job=job)
        before = self.recipients if complete == self.complete else {}
        return Mailing(complete=complete, recipients={**before, **dict.fromkeys(addresses, now)})


def _mailing_key(period: Period) -> str:
    return f"mailed/{period.kind.value}/{period.name}.json"


class Store:
    """The bucket, below the prefix. Every call is bounded in time; an error is one line without credentials."""

    def __init__(self, settings: Storage, login: tuple[str, str] | None = None) -> None:
        """Get ready.

        Args:
            settings: Where it is.
            login: Key id and secret; None: as the files of ``settings`` have them.

        Raises:
            ReportError: A file with a key cannot be read.
        """
        self._settings = settings
        files = settings.access_key_id_file, settings.secret_access_key_file
        try:
            key_id, key = login or (files[0].read_text().strip(), files[1].read_text().strip())
        except OSError as error:
            raise ReportError(f"{error.filename}: cannot be read: {error.strerror}") from None
        self._client: Any = s3.client(settings, (key_id, key), connect_s=_CONNECT_S, read_s=_READ_S, attempts=3)

    def put(self, name: str, content: bytes, kind: str) -> None:
        """Store an object, in place of the one before.

        Args:
            name: Key below the prefix.
            content: What it holds.
            kind: Its content type.

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
                **more,
            )

    def get(self, name: str) -> bytes | None:
        """An object; None where it is not there.

        Raises:
            ReportError: The storage refuses it, or does not answer.
        """
        with self._errors(f"{name} cannot be read"):
            try:
                answer = self._client.get_object(Bucket=self._settings.bucket, Key=self._settings.prefix + name)
            except ClientError as error:
                if s3.code_of(error) in s3.MISSING:
                    return None
                raise
            return bytes(answer["Body"].read())

    def mailing(self, period: Period) -> Mailing:
        """Who took the report of a period.

        Raises:
            ReportError: The storage refuses to tell, or does not answer.
        """
        try:
            return Mailing.model_validate_json(self.get(_mailing_key(period)) or b"{}")
        except ValidationError as error:
            raise ReportError(f"{_mailing_key(period)} is damaged, remove it: {one_line(error)}") from None

    def put_mailing(self, period: Period, mailing: Mailing) -> None:
        """Write down who took it.

        Raises:
            ReportError: The storage refuses it, or does not answer.
        """
        self.put(_mailing_key(period), mailing.model_dump_json().encode(), JSON_TYPE)

    def delete(self, name: str) -> None:
        """Remove an object; one that is not there is no error.

        Raises:
            ReportError: The storage refuses, or does not answer.
        """
        with self._errors(f"{name} cannot be removed"):
            self._client.delete_object(Bucket=self._settings.bucket, Key=self._settings.prefix + name)

    def names(self, below: str = "") -> list[tuple[str, datetime]]:
        """Keys below the prefix that begin with ``below``, and when each was written.

        Raises:
            ReportError: The storage refuses, or does not answer.
        """
        settings = self._settings
        with self._errors("reports cannot be listed"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=settings.bucket, Prefix=settings.prefix + below
            )
            return [
                (str(stored_object["Key"])[len(settings.prefix) :], stored_object["LastModified"])
                for page in pages
                for stored_object in page.get("Contents", ())
            ]

    def record(self, kind: Kind, *, failed: bool, period: str, problem: str = "") -> None:
        """Write down how the last run about a period ended (``runs/<kind>/<period>.json``), for who watches the jobs.

        Raises:
            ReportError: The storage refuses it, or does not answer.
        """
        ended = datetime.now(UTC).isoformat(timespec="seconds")
        content = {"ended_at": ended, "failed": failed, "period": period, "problem": problem}
        self.put(f"runs/{kind.value}/{period}.json", json.dumps(content, ensure_ascii=False).encode(), JSON_TYPE)

    def _errors(self, what: str) -> AbstractContextManager[None]:
        where = f"object storage {self._settings.endpoint or 'of AWS'}, bucket {self._settings.bucket}"
        return s3.errors(f"{where}: {what}", ReportError)


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


PER_PAGE = 60
_PAGE = re.compile(r"index(?:-(\d+))?\.html")


def page_name(number: int) -> str:
    """Name of a page, counted from 1."""
    return "index.html" if number == 1 else f"index-{number}.html"


def pages(reports: Sequence[Stored], languages: Sequence[Language], zone: tzinfo, platform: str) -> list[str]:
    """The pages as HTML; one at least.

    Args:
        reports: Newest first.
        languages: Languages of the page: each word in all of them.
        zone: Time zone of the times.
        platform: Name of the platform.
    """
    count = max(1, math.ceil(len(reports) / PER_PAGE))
    template = environment(languages[0]).get_template("index.html.j2")
    return [
        template.render(
            reports=reports[(number - 1) * PER_PAGE : number * PER_PAGE],
            language=languages[0],
            number=number,
            count=count,
            zone=zone,
            platform=platform,
            page_name=page_name,
        )
        for number in range(1, count + 1)
    ]


def rewrite(store: Store, languages: Sequence[Language], zone: tzinfo, platform: str) -> int:
    """Make the index anew from what is stored; returns the number of reports in it.

    Raises:
        ReportError: The storage refuses, or does not answer.
    """
    names = store.names()
    stored_reports = stored(names)
    page_texts = pages(stored_reports, languages, zone, platform)
    for number, text in enumerate(page_texts, start=1):
        store.put(page_name(number), text.encode(), HTML_TYPE)
    for name, _ in names:
        old = _PAGE.fullmatch(name)
        if old and int(old[1] or 1) > len(page_texts):
            store.delete(name)
    return len(stored_reports)


_TIMEOUT_S = 30.0
_TLS_AT_ONCE = 465


def message(
    report: Report,
    pdfs: Mapping[Language, bytes],
    *,
    platform: str,
    sender: str,
    recipients: Sequence[str],
    link: str = "",
) -> EmailMessage:
    """The mail.

    Args:
        report: What it is about.
        pdfs: The report in each language, in the order of the texts; the first one's is also the subject's.
        platform: Name of the platform, in the subject.
        sender: Who it comes from.
        recipients: Who it goes to.
        link: Where all reports are; empty where that is nowhere.
    """
    languages = list(pdfs)
    message = EmailMessage()
    message["Subject"] = translate("mail.subject", platform=platform, title=report.title).of(languages[0])
    message["From"] = sender
    message["To"] = ", ".join(recipients)
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2])
    message["Auto-Submitted"] = "auto-generated"
    values = {"report": report, "figures": _figures(report), "link": link}
    message.set_content(
        "\n".join(environment(language).get_template("mail.txt.j2").render(**values) for language in languages)
    )
    parts = [
        environment(language).get_template("mail.html.j2").render(language=language, **values) for language in languages
    ]
    message.add_alternative(
        f'<!DOCTYPE html>\n<html lang="{languages[0]}"><head><meta charset="utf-8" /></head>\n'
        f'<body style="margin:0;background:#fff">\n{"".join(parts)}</body></html>\n',
        subtype="html",
    )
    for language, content in pdfs.items():
        name = f"{report.kind.value}-{report.period}.{language}.pdf"
        message.add_attachment(content, maintype="application", subtype="pdf", filename=name)
    return message


def send(settings: Mail, password: str, letter: EmailMessage, recipients: Sequence[str]) -> dict[str, str]:
    """Hand a mail over for some recipients; returns those that the server refuses, with what it says.

    Raises:
        ReportError: The server takes it for nobody for a reason that is not theirs, or does not answer.
    """
    where = f"{settings.host}:{settings.port}"
    context = ssl.create_default_context(cafile=None if settings.ca_file is None else str(settings.ca_file))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        if settings.port == _TLS_AT_ONCE:
            server: smtplib.SMTP = smtplib.SMTP_SSL(settings.host, settings.port, timeout=_TIMEOUT_S, context=context)
        else:
            server = smtplib.SMTP(settings.host, settings.port, timeout=_TIMEOUT_S)
        with server:
            if settings.port != _TLS_AT_ONCE:
                server.starttls(context=context)
            server.login(settings.user, password)
            try:
                refused = server.send_message(letter, to_addrs=list(recipients))
            except smtplib.SMTPRecipientsRefused as error:
                refused = error.recipients
    except smtplib.SMTPAuthenticationError:
        raise ReportError(f"mail server {where} refuses the login of {settings.user!r}: see its password") from None
    except (smtplib.SMTPException, OSError) as error:
        raise ReportError(f"mail server {where}: {one_line(error)}") from None
    return {address: one_line(f"{code} {text.decode('utf-8', 'replace')}") for address, (code, text) in refused.items()}


def _figures(report: Report) -> list[Figure]:
    """The large numbers of the report."""
    blocks = [block for section in report.sections for block in section.blocks]
    return [figure for block in blocks if isinstance(block, Figures) for figure in block.figures]
