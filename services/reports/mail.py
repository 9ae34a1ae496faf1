"""Hands a report to the mail server: over TLS, with a login, the whole report attached as PDF."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid

from services.reports.errors import ReportError, one_line
from services.reports.i18n import translate
from services.reports.model import Figure, Figures, Report
from services.reports.render import environment
from services.reports.settings import Mail
from services.reports.text import Language

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


def send(settings: Mail, password: str, letter: EmailMessage) -> None:
    """Hand a mail over.

    Raises:
        ReportError: The server refuses it, or does not answer.
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
            refused = server.send_message(letter)
    except smtplib.SMTPAuthenticationError:
        raise ReportError(f"mail server {where} refuses the login of {settings.user!r}: see its password") from None
    except smtplib.SMTPRecipientsRefused as error:
        raise ReportError(f"mail server {where} refuses {', '.join(error.recipients)}") from None
    except (smtplib.SMTPException, OSError) as error:
        raise ReportError(f"mail server {where}: {one_line(error)}") from None
    if refused:
        raise ReportError(f"mail server {where} refuses {', '.join(refused)} and took it for the others")


def _figures(report: Report) -> list[Figure]:
    """The large numbers of the report."""
    blocks = [block for section in report.sections for block in section.blocks]
    return [figure for block in blocks if isinstance(block, Figures) for figure in block.figures]
