"""What the backup exporter serves, to whom, and what its settings file may hold."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from services.backup_exporter import BackupExporterSettings as Settings
from services.backup_exporter.__main__ import BackupCollector, Service, main
from services.backup_exporter.poller import BackupPoller
from services.backup_exporter.retention import Retention
from services.runtime.settings import SettingsError
from tests.unit.reports import report_server_fakes
from tests.unit.reports.report_server_fakes import SCRAPER, ReportServer, Storage, until_ready, write_files
from tests.unit.services.backup_exporter.stored import (
    SERVERS,
    START,
    content,
    put_block,
    put_run,
    put_segment,
    settings,
)


@pytest.fixture(scope="module")
def fake_storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    with report_server_fakes.storage(tmp_path_factory.mktemp("exporter")) as running:
        put_run(running, "database", START, {"grafana.dump": 20, "roles.sql": 5})
        now = datetime.now(UTC)
        put_run(running, "grafana", now - timedelta(seconds=90), {"all.json": 7}, sealed=True)
        put_run(running, "grafana", now, {"all.json": 7})
        put_run(running, "pulumi-state", START, {"stack.json": 7})
        put_run(running, "search", START, {"logs.ndjson": 7}, whole=False)
        put_segment(running, 0, 99)
        put_segment(running, 110, 119)
        put_block(running, START, datetime(2026, 11, 25, 14, tzinfo=UTC))
        yield running


@pytest.fixture(scope="module")
def exporter(fake_storage: Storage) -> Iterator[ReportServer]:
    service = Service(settings(fake_storage))
    thread = threading.Thread(target=service.run, daemon=True)
    thread.start()
    running = ReportServer(service.server.server_port, str(fake_storage.folder / "ca.crt"))
    try:
        until_ready(running)
        yield running
    finally:
        service.stop()
        thread.join(60)
        assert not thread.is_alive(), "the backup exporter does not stop"


def values(answer: requests.Response) -> dict[tuple[str, str], float]:
    """Name and the one label -> value."""
    return {
        (sample.name, "".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_the_metrics_say_how_old_large_and_whole_backups_are(exporter: ReportServer) -> None:
    metrics = values(exporter.get("/metrics", SCRAPER))
    began = START.timestamp()
    assert metrics["backup_last_success_timestamp_seconds", "database"] == began
    assert metrics["backup_due_timestamp_seconds", "database"] == began + 7200
    assert metrics["backup_last_bytes", "database"] == 25
    assert metrics["backup_last_objects", "database"] == 2
    assert metrics["backup_last_duration_seconds", "database"] == 90
    assert (metrics["backup_runs", "database"], metrics["backup_runs", "search"]) == (1, 0)
    assert metrics["backup_damaged_runs", "database"] == 0
    assert (metrics["backup_signed_runs", "grafana"], metrics["backup_refused_runs", "grafana"]) == (1, 1)
    assert (metrics["backup_signed_runs", "database"], metrics["backup_refused_runs", "database"]) == (0, 0)
    assert metrics["backup_signed_until_timestamp_seconds", "grafana"] > began
    assert metrics["backup_last_success_timestamp_seconds", "pulumi-state"] == began
    assert metrics["backup_archive_bytes", "telemetry-logs"] == 20
    assert metrics["backup_archive_segments", "telemetry-logs"] == 2
    assert metrics["backup_archive_missing_records", "telemetry-logs"] == 10
    assert metrics["backup_archive_last_timestamp_seconds", "telemetry-logs"] > began - 10**9
    assert metrics["backup_metrics_last_block_timestamp_seconds", "primary"] == began - 3900
    assert metrics["backup_metrics_due_timestamp_seconds", "primary"] == began - 3900 + 4800
    assert metrics["backup_metrics_due_timestamp_seconds", "secondary"] > began
    assert ("backup_metrics_last_block_timestamp_seconds", "secondary") not in metrics
    assert (metrics["backup_poll_failed", ""], metrics["backup_poll_failures_total", ""]) == (0, 0)
    assert metrics["backup_due_timestamp_seconds", "pulumi-state"] == began + 700_000
    # Of a kind that is not named nobody expects a run.
    assert ("backup_due_timestamp_seconds", "search") not in metrics
    assert ("backup_last_success_timestamp_seconds", "search") not in metrics


def test_metrics_need_the_password_and_nothing_else_is_served(exporter: ReportServer) -> None:
    assert exporter.get("/metrics", None).status_code == 401
    assert exporter.get("/metrics", (SCRAPER[0], "wrong")).status_code == 401
    assert exporter.get("/metrics", SCRAPER, "POST").status_code == 405
    assert exporter.get("/livez", None).status_code == 200
    assert exporter.get("/", SCRAPER).status_code == 404


def test_before_the_first_look_nothing_is_said_about_backups(tmp_path: Path) -> None:
    write_files(tmp_path)
    told: list[str] = []
    registry = CollectorRegistry()
    poller = BackupPoller(Settings.parse(content(tmp_path)), told.append)
    chosen = Settings.parse(content(tmp_path))
    BackupCollector(poller, Retention(chosen, print), chosen, registry)
    poller.poll()
    assert [family.name for family in registry.collect()] == [
        "backup_last_poll_timestamp_seconds",
        "backup_poll_failed",
        "backup_poll_failures",
        "backup_last_retention_timestamp_seconds",
        "backup_retention_failures",
        "backup_removed",
    ]
    assert registry.get_sample_value("backup_poll_failed") == 1
    assert registry.get_sample_value("backup_last_poll_timestamp_seconds") == poller.began
    [line] = told
    assert line.startswith("cannot list the backups: Could not connect")


def test_without_blocks_nothing_is_said_about_them(fake_storage: Storage) -> None:
    chosen = settings(fake_storage, blocks=None)
    registry = CollectorRegistry()
    poller = BackupPoller(chosen, print)
    BackupCollector(poller, Retention(chosen, print), chosen, registry)
    poller.poll()
    assert not [family.name for family in registry.collect() if family.name.startswith("backup_metrics")]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"most_age_s": {"databse": 1}}, "most_age_s.databse is no kind of backup; allowed: database, grafana"),
        ({"most_age_s": {"database": 0}}, "most_age_s.database is 0; it must be a number of seconds above 0"),
        ({"most_age_s": {"database": True}}, "it must be a number of seconds above 0"),
        ({"keep_days": {"runs": {"databse": 1}, "archive": 1}}, "keep_days.runs.databse is no kind of backup; allowed"),
        ({"keep_days": {"runs": {}, "archive": 1}}, "keep_days.runs must be a mapping of days; allowed keys: database"),
        ({"keep_days": {"runs": {"database": 0}, "archive": 1}}, "it must be a whole number of days"),
        ({"keep_days": {"runs": {"database": 1}, "archive": 0}}, "it must be a whole number of days"),
        ({"most_age_s": [1]}, "most_age_s must be a mapping of seconds"),
        (
            {"blocks": {"prefix": "metrics", "most_age_s": 1, "servers": SERVERS}},
            "blocks.prefix is 'metrics'; it must end with /",
        ),
        ({"blocks": {"prefix": "metrics/", "servers": SERVERS}}, "blocks.most_age_s is missing"),
        ({"blocks": {"prefix": "metrics/", "most_age_s": 1, "servers": {}}}, "blocks.servers"),
        ({"reader": {}}, "reader is not a setting; allowed: listen, tls"),
        ({"metrics": {"user": "", "password_file": "x"}}, "metrics.user is ''"),
    ],
)
def test_a_mistake_in_the_settings_is_one_clear_line(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Settings.parse(content(tmp_path, **changes))


def test_the_program_ends_with_two_and_a_line_for_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(content(tmp_path, listen="nowhere")))
    assert main(["--config", str(file)]) == 2
    assert capsys.readouterr().err == (
        f'backup-exporter: {file}: listen is \'nowhere\'; it must be "address:port", for example "0.0.0.0:8080"\n'
    )
    file.write_text(yaml.safe_dump(content(tmp_path)))
    assert main(["--config", str(file)]) == 2
    assert "cannot serve with" in capsys.readouterr().err


def test_it_starts_as_a_program_and_stops_when_it_is_asked_to(fake_storage: Storage, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(content(fake_storage.folder, fake_storage.endpoint)))
    command = [sys.executable, "-m", "services.backup_exporter", "--config", str(file)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("backup-exporter: serving https port ")
        process.terminate()
        assert process.wait(60) == 0
        assert process.stderr.read() == "backup-exporter: stopped\n"
