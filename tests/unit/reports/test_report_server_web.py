"""What the report server serves, to whom, and what its settings file may hold."""

from __future__ import annotations

import base64
import contextlib
import http.client
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.report_server import ReportServerSettings as Settings
from services.report_server.__main__ import main
from services.runtime.settings import SettingsError
from tests.unit.reports import report_server_fakes
from tests.unit.reports.report_server_fakes import READER, SCRAPER, ReportServer, Storage, content, write_files


@contextlib.contextmanager
def filled(folder: Path) -> Iterator[Storage]:
    with report_server_fakes.storage(folder) as running:
        running.put("index.html", "<p>all reports</p>")
        running.put("daily/2026/2026-11-24/report.ja.html", "<p>日次</p>")
        running.put("daily/2026/2026-11-24/report.ja.pdf", b"%PDF-1.7 " + bytes(200_000))
        running.put("secret", "not a report", prefix="elsewhere/")
        running.put_run("daily", failed=False)
        yield running


@pytest.fixture
def fake_storage(tmp_path: Path) -> Iterator[Storage]:
    """A storage that the test may change."""
    with filled(tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def report_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReportServer]:
    """A report server that is only read."""
    with filled(tmp_path_factory.mktemp("server")) as storage, report_server_fakes.report_server(storage) as running:
        yield running


def test_the_list_names_every_report_with_its_files_and_runs(report_server: ReportServer) -> None:
    answer = report_server.get("/reports")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    listed = answer.json()
    [report] = listed["reports"]
    assert (report["kind"], report["period"], report["period_end"]) == ("daily", "2026-11-24", "2026-11-24T15:00:00Z")
    assert report["files"] == [
        {"path": "/files/daily/2026/2026-11-24/report.ja.html", "bytes": 13},
        {"path": "/files/daily/2026/2026-11-24/report.ja.pdf", "bytes": 200_009},
    ]
    assert listed["runs"]["daily"] == {
        "ended_at": "2026-11-24T21:11:30Z",
        "failed": False,
        "period": "2026-11-24",
        "problem": "",
    }


@pytest.mark.parametrize(
    ("path", "content_type", "size"),
    [
        ("/files/index.html", "text/html; charset=utf-8", 18),
        ("/files/daily/2026/2026-11-24/report.ja.pdf", "application/pdf", 200_009),
        ("/files/runs/daily/2026-11-24.json", "application/json", None),
    ],
)
def test_a_stored_file_is_given_as_it_is_and_may_run_no_script(
    report_server: ReportServer, path: str, content_type: str, size: int | None
) -> None:
    answer = report_server.get(path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, content_type)
    assert size is None or len(answer.content) == size
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    head = report_server.get(path, method="HEAD")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == str(len(answer.content))


def test_the_first_page_leads_to_the_stored_index(report_server: ReportServer) -> None:
    answer = report_server.get("/")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/files/index.html")


@pytest.mark.parametrize(
    "path",
    [
        "/files/none.html",
        "/files/",
        "/files/../elsewhere/secret",
        "/files/%2e%2e/elsewhere/secret",
        "/files/daily/./2026",
        "/files//etc/passwd",
        "/files/.hidden",
    ],
)
def test_what_is_not_there_or_outside_the_prefix_is_not_found(report_server: ReportServer, path: str) -> None:
    # By hand: `requests` itself would take the dots away.
    connection = http.client.HTTPSConnection(
        "localhost", report_server.port, timeout=60, context=ssl.create_default_context(cafile=report_server.ca)
    )
    login = base64.b64encode(":".join(READER).encode()).decode()
    with contextlib.closing(connection):
        connection.request("GET", path, headers={"Authorization": f"Basic {login}"})
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (404, b"no such file; /reports lists them\n")


@pytest.mark.parametrize("path", ["/", "/reports", "/files/index.html", "/files/none"])
@pytest.mark.parametrize("login", [None, ("reader", "wrong"), ("reader", ""), SCRAPER])
def test_reports_need_the_readers_password(
    report_server: ReportServer, path: str, login: tuple[str, str] | None
) -> None:
    answer = report_server.get(path, login=login)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic")


def test_metrics_need_the_scrapers_password_and_count_wrong_logins(report_server: ReportServer) -> None:
    def refused() -> float:
        text = report_server.get("/metrics", login=SCRAPER).text
        [line] = [line for line in text.splitlines() if line.startswith("report_server_refused_total ")]
        return float(line.split()[1])

    before = refused()
    assert report_server.get("/metrics", login=READER).status_code == 401
    assert report_server.get("/reports", login=None).status_code == 401
    assert refused() == before + 1
    text = report_server.get("/metrics", login=SCRAPER).text
    assert 'report_stored{kind="daily"} 1.0' in text
    assert 'report_last_run_failed{kind="daily"} 0.0' in text


def test_only_reading_is_possible(report_server: ReportServer) -> None:
    assert report_server.get("/reports", method="POST").status_code == 405
    assert report_server.get("/files/index.html", method="DELETE").status_code == 405


def test_while_the_storage_is_away_it_serves_and_says_so(fake_storage: Storage) -> None:
    with report_server_fakes.report_server(fake_storage) as running:
        for stored_object in fake_storage.client.list_objects_v2(Bucket="monitoring")["Contents"]:
            fake_storage.client.delete_object(Bucket="monitoring", Key=stored_object["Key"])
        fake_storage.client.delete_bucket(Bucket="monitoring")
        assert running.get("/files/index.html").status_code == 502
        assert running.get("/reports").json()["reports"][0]["period"] == "2026-11-24"
        assert running.get("/livez").status_code == 200


def test_without_any_look_that_succeeded_the_list_is_not_there(fake_storage: Storage) -> None:
    (fake_storage.folder / "key-id").unlink()
    with report_server_fakes.report_server(fake_storage) as running:
        answer = running.get("/reports")
        assert (answer.status_code, answer.text) == (503, "the object storage could not be read yet\n")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("listen", "8443", "listen is '8443'; it must be \"address:port\""),
        ("time_zone", "Tokyo", "time_zone is 'Tokyo'; it must be a name such as Asia/Tokyo"),
        ("time_zone", None, "time_zone is None; it must be a name such as Asia/Tokyo"),
        ("most_age_h.daily", 0, "most_age_h.daily is 0; it must be a number of hours above 0"),
        ("most_age_h.hourly", 2, "most_age_h.hourly is not a setting; allowed: daily, weekly, monthly"),
        ("storage.prefix", "/reports", "storage.prefix is '/reports'; it must be \"\" or end with /"),
        ("storage.prefix", "reports", "storage.prefix is 'reports'; it must be \"\" or end with /"),
        ("storage.endpoint", "http://localhost:1", "it must be https://host:port, or null"),
        ("storage.endpoint", "", "storage.endpoint is ''; it must be null or a text"),
        ("storage.bucket", "", "storage.bucket is ''; it must be a text that is not empty"),
        ("storage.password", "x", "storage.password is not a setting; allowed: "),
        ("reader", {"user": "reader"}, "reader.password_file is missing"),
    ],
)
def test_a_mistake_in_the_settings_is_one_line_that_says_what_to_do(
    tmp_path: Path, path: str, value: Any, message: str
) -> None:
    changed = content(tmp_path)
    *folders, key = path.split(".")
    inner = changed
    for folder in folders:
        inner = inner[folder]
    inner[key] = value
    with pytest.raises(SettingsError) as raised:
        Settings.parse(changed)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_public_storage_needs_neither_endpoint_nor_authority(tmp_path: Path) -> None:
    changed = content(tmp_path, None)
    changed["storage"]["ca_file"] = None
    storage = Settings.parse(changed).storage
    assert (storage.endpoint, storage.ca_file) == (None, None)


def test_the_program_tells_a_mistake_and_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("listen: 1\n")
    assert main(["--config", str(path)]) == 2
    assert capsys.readouterr().err.startswith(f"report-server: {path}: tls is missing")
    write_files(tmp_path)
    (tmp_path / "tls.key").unlink()
    path.write_text(yaml.safe_dump(content(tmp_path)))
    assert main(["--config", str(path)]) == 2
    assert "cannot serve with" in capsys.readouterr().err


def test_the_program_serves_until_it_is_told_to_stop(fake_storage: Storage) -> None:
    path = fake_storage.folder / "config.yaml"
    path.write_text(yaml.safe_dump(content(fake_storage.folder, fake_storage.endpoint)))
    command = [sys.executable, "-m", "services.report_server", "--config", str(path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            assert line.startswith("report-server: serving https port ")
            running = ReportServer(int(line.rsplit(" ", 1)[1]), str(fake_storage.folder / "ca.crt"))
            report_server_fakes.until_ready(running)
            assert running.get("/reports").json()["reports"][0]["kind"] == "daily"
        finally:
            process.terminate()
        assert process.wait(60) == 0
        assert process.stderr.read().endswith("report-server: stopped\n")
