"""Makes a report outside the cluster: the same program as the jobs', asking the platform from here."""

from __future__ import annotations

import tempfile
import time
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

from components.telemetry.topics import ALERTS_PROCESSED_TOPIC
from ops.core.context import Context
from ops.core.errors import OpsError
from services.reports.alert_log import KafkaAlertLog
from services.reports.build import report
from services.reports.metrics import ThanosMetrics
from services.reports.model import Kind, Report, ReportError, chosen
from services.reports.render import html
from services.reports.settings import LANGUAGES, KafkaAccess, Language

USER = "reports"
"""Kafka user of the jobs."""


def build(context: Context, kind: Kind, at: date | None, zone: ZoneInfo) -> Report:
    """Make a report from what the platform tells now; nothing is stored or mailed.

    Args:
        context: The platform.
        kind: Which report.
        at: A day of its period; None for the last one that is over.
        zone: Time zone in which days begin.

    Raises:
        OpsError: Metrics or notifications cannot be read, or the period has not begun.
    """
    platform = context.platform
    if USER not in platform.kafka_users:
        raise OpsError("the stack has no Kafka user `reports`: bring up a version of the platform that makes reports")
    user, password = platform.query_reader.pair
    metrics = ThanosMetrics(platform.query_url, ca_file=Path(context.ca_file), user=user, password=password)
    try:
        now = time.time()
        with tempfile.TemporaryDirectory(prefix="obs-report-") as folder:
            return report(
                period=chosen(kind, at, now, zone),
                platform=f"{platform.platform} ({platform.region})",
                metrics=metrics,
                alerts=KafkaAlertLog(_notifications(context, Path(folder))),
                now=now,
            )
    except ReportError as error:
        raise OpsError(str(error)) from None
    finally:
        metrics.close()


def _notifications(context: Context, folder: Path) -> KafkaAccess:
    user, password = context.platform.kafka_login(USER).pair
    file = folder / "password"
    file.touch(mode=0o600)
    file.write_text(password, encoding="utf-8")
    return KafkaAccess(
        bootstrap=context.platform.kafka_bootstrap,
        topic=ALERTS_PROCESSED_TOPIC.name,
        ca_file=Path(context.ca_file),
        user=user,
        password_file=file,
    )


def known(language: str) -> Language:
    """A language of the reports by its name.

    Raises:
        OpsError: There is none of that name.
    """
    for supported in LANGUAGES:
        if supported == language:
            return supported
    raise OpsError(f"language {language!r} is not one of {', '.join(LANGUAGES)}")


def page(finished_report: Report, language: Language) -> bytes:
    """The report as one HTML page that stands alone."""
    return html(finished_report, language).encode()


def paper(finished_report: Report, language: Language) -> bytes:
    """The report as PDF."""
    # Here: it loads libraries of the system, and other commands have to work where these are missing.
    from services.reports.pdf import pdf

    return pdf(finished_report, language)
