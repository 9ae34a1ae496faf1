"""`ops privacy`: pseudonyms, the archive by day, records that never hold an id."""

from __future__ import annotations

import base64
import io
import json
import stat
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from typer.testing import CliRunner

from components.masking import pseudonym
from components.telemetry.layers import TOPIC_OF_SIGNAL
from ops.__main__ import app
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kube import Kube
from ops.core.web import Web
from ops.privacy import command
from ops.privacy import command as stores
from ops.privacy import stores as archive
from ops.privacy.record import Holding, PrivacyRecord, masking_key, pseudonym_of, subject_id
from ops.privacy.stores import Days
from services.backup.encryption import read_identities
from services.backup.store import Store
from services.kafka_archive.segments import Record, Segment
from tests.unit.backups import stubs as backups
from tests.unit.ops.backup_harness import TOPIC_ID, identity_file
from tests.unit.search import recording as search_cluster
from tests.unit.services.backup.harness import RECIPIENT, Harness, harness

KEY = "a key for tests, of at least thirty-two bytes"
PLAIN = "worker-4711"
SUBJECT = pseudonym(PLAIN, KEY)
DAY = date(2026, 11, 20)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def holding(**changed: Any) -> Holding:
    return Holding(**{"store": "logs", "where": "logs-0*", "matches": 3, "left": 3, "removable": True, **changed})


def record(*holdings: Holding) -> PrivacyRecord:
    return PrivacyRecord(
        action="erase",
        dry_run=False,
        operator="me@here",
        reference="case 7",
        platform="obs",
        region="here",
        pseudonym=SUBJECT,
        time=NOON,
        holdings=holdings,
    )


def test_a_record_says_what_is_left_and_until_when() -> None:
    last = NOON + timedelta(days=30)
    gone = holding(expires=NOON).after(3, 0)
    kept = holding(store="Kafka", matches=None, left=None, removable=False, expires=last, why="in order")
    half = holding(expires=NOON).after(1, 2)
    written = record(gone, kept, half)
    assert gone.expires is None
    assert written.remaining == [kept, half]
    assert written.incomplete == [half]
    assert written.gone_by == last
    assert record(gone).gone_by is None


def test_a_record_is_a_private_file_that_replaces_nothing(tmp_path: Path) -> None:
    file = tmp_path / "records" / "case-7.json"
    record(holding()).write(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    content = json.loads(file.read_text())
    assert (content["pseudonym"], content["operator"], content["reference"]) == (SUBJECT, "me@here", "case 7")
    assert content["holdings"][0]["matches"] == 3
    assert PLAIN not in file.read_text()
    with pytest.raises(OpsError, match="cannot be written: File exists"):
        record(holding()).write(file)


def kube_with(name: str, data: dict[str, str]) -> Kube:
    def read(secret: str, namespace: str, **_: Any) -> Any:
        assert (secret, namespace) == (name, "obs")
        return SimpleNamespace(data={key: base64.b64encode(text.encode()).decode() for key, text in data.items()})

    kube = Kube(None, "obs")
    kube.core = SimpleNamespace(read_namespaced_secret=read)
    return kube


def test_the_key_is_the_gateways_own_and_gives_its_pseudonyms() -> None:
    key = masking_key(kube_with("gateway-auth", {"hash-key": KEY}))
    assert pseudonym_of(PLAIN, key) == SUBJECT
    with pytest.raises(OpsError, match="has no hash-key: run `pulumi up --policy-pack policy`"):
        masking_key(kube_with("gateway-auth", {}))
    with pytest.raises(OpsError, match="must have at least 32"):
        pseudonym_of(PLAIN, "short")


def test_an_id_may_come_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PLAIN}\n"))
    assert subject_id("-") == PLAIN
    assert subject_id(PLAIN) == PLAIN
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    with pytest.raises(OpsError, match="--subject is empty"):
        subject_id("-")


@pytest.mark.parametrize(("first", "last"), [(DAY, DAY - timedelta(days=1)), (DAY, DAY + timedelta(days=31))])
def test_days_are_bounded_and_in_order(first: date, last: date) -> None:
    with pytest.raises(OpsError, match="must be 1 to 31 days, in order"):
        Days(first=first, last=last)


def test_days_are_whole_days_of_utc() -> None:
    [(day, begin, end), (second, _, _)] = list(Days(first=DAY, last=DAY + timedelta(days=1)))
    assert (day, begin, end - begin) == (DAY, datetime(2026, 11, 20, tzinfo=UTC), timedelta(days=1))
    assert second == date(2026, 11, 21)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Harness]:
    folder = tmp_path / "harness"
    folder.mkdir()
    with harness(folder) as running:
        yield running


def archived(store: Store, topic: str, *records: tuple[datetime, bytes]) -> None:
    """A segment whose records have these times and values."""
    segment = Segment(topic, 0)
    for offset, (at, value) in enumerate(records):
        segment.add(Record(offset, int(at.timestamp() * 1000), 1, b"key", value, ()))
    encrypted = segment.encrypt(TOPIC_ID, [RECIPIENT])
    store.put(encrypted.name.key, encrypted.content, metadata=encrypted.metadata)


def test_the_archive_is_read_within_its_days_and_nothing_of_it_is_removable(place: Harness) -> None:
    hit = b"\x0a\x40" + SUBJECT.encode() + b"\x12"
    with place.store() as store:
        archived(
            store,
            "telemetry-logs",
            (NOON - timedelta(days=1), hit),
            (NOON, hit),
            (NOON, b"nothing"),
            (NOON + timedelta(hours=1), hit),
            (NOON + timedelta(days=1), hit),
        )
        archived(store, "telemetry-metrics", (NOON, b"nothing"))
        archived(store, "alerts-raw", (NOON, hit))
        said: list[str] = []
        keys = read_identities(identity_file(place))
        holdings = archive.scan(store, keys, SUBJECT, Days(first=DAY, last=DAY), 30, said.append)
    logs, metrics = holdings
    assert (logs.matches, logs.left, logs.removable) == (2, 2, False)
    assert (logs.oldest, logs.newest) == (NOON, NOON + timedelta(hours=1))
    assert logs.expires == NOON + timedelta(hours=1, days=30)
    assert logs.why == archive.WHY
    assert (metrics.matches, metrics.left, metrics.expires, metrics.why) == (0, 0, None, "")
    assert said == [
        "telemetry-logs, 2026-11-20: 3 records read, 2 with it so far",
        "telemetry-metrics, 2026-11-20: 1 records read, 0 with it so far",
    ]


def test_an_archive_that_nobody_reads_may_hold_something_until_its_end() -> None:
    unread = archive.unread(NOON, 30)
    assert (unread.matches, unread.left, unread.expires) == (None, None, NOON + timedelta(days=30))
    assert unread.why == archive.NOT_READ


def test_documents_that_change_meanwhile_are_tried_again_after_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = [{"hits": {"total": {"value": left}}} for left in (3, 0)]
    answers = [
        {"deleted": 1, "version_conflicts": 2},
        {"deleted": 0, "version_conflicts": 2},
        {"deleted": 2, "version_conflicts": 0},
        {"deleted": 0, "version_conflicts": 0},
    ]
    steps: list[object] = []

    def ask(_: object, url: str, *__: object) -> dict[str, Any]:
        if "/_search" in url:
            return counts.pop(0)
        steps.append("delete")
        return answers.pop(0)

    monkeypatch.setattr(archive.web, "ask", ask)
    monkeypatch.setattr(archive, "sleep", steps.append)
    store = archive.SearchStore(cast(Web, None), "https://search", ("eraser", "password"))
    erased = store.erase(archive.Family(name="logs", keep_s=60.0), SUBJECT)
    assert (erased.matches, erased.removed, erased.left) == (3, 3, 0)
    assert steps == ["delete", 1.0, "delete", 1.0, "delete", "delete"]


class Cluster:
    """Kubernetes, as far as the stores are asked for: ConfigMaps as the components render them, and a Secret."""

    namespace = "obs"

    def __init__(self) -> None:
        self.core = self
        indices, (copies, _) = search_cluster.recorded(), backups.recorded()
        self._maps = {
            "index-manager": indices.one("ConfigMap", "index-manager")["data"],
            "backup-exporter": copies.one("ConfigMap", "backup-exporter")["data"],
        }
        self._secret = indices.one("Secret", "search-eraser-auth")["stringData"]

    def config_map(self, name: str) -> dict[str, str]:
        return dict(self._maps[name])

    def secret_entry(self, name: str, key: str) -> str:
        assert name == "search-eraser-auth"
        return str(self._secret[key])

    def ready_pod(self, workload: str) -> Any:
        assert workload == "search"
        return SimpleNamespace(name="search-0")

    def pods(self, workload: str) -> list[str]:
        return [] if workload == "thanos-compact" else [workload]


def context_of(kube: Cluster, **platform: Any) -> Context:
    kept = {"retention.ms": str(7 * 86_400_000), "segment.ms": str(86_400_000)}
    topics = dict.fromkeys(TOPIC_OF_SIGNAL.values(), kept)
    return cast(
        Context,
        SimpleNamespace(
            kube=kube,
            platform=SimpleNamespace(**platform),
            kafka=SimpleNamespace(topic_settings=lambda names: {name: topics[name] for name in names}),
            tunnels=SimpleNamespace(url=lambda pod, port: f"https://{pod}:{port}"),
            web=None,
        ),
    )


def test_what_stores_keep_is_read_from_the_settings_as_they_are_rendered() -> None:
    access = SimpleNamespace(search="export", schedules={"search": "30 3 * * *"})
    context = context_of(Cluster(), backups=access)
    _, families = stores.search_store(context)
    assert {family.name for family in families} >= {"logs", "confidential-jaeger-span"}
    assert all(family.keep_s >= 86_400 for family in families)
    unread, copies = stores.archived(context, SUBJECT, None, NOON, lambda _: None)
    assert (unread.store, unread.matches, copies.store, copies.matches) == ("archive", None, "backups", None)
    assert all(holding.expires and holding.expires > NOON for holding in (unread, copies))
    assert stores.blocks(context, SUBJECT, lambda _: None) == []


def test_kafka_keeps_what_may_be_in_it_for_the_retention_of_its_topics_and_a_segment() -> None:
    holdings = stores.kafka(context_of(Cluster()), NOON)
    assert [holding.where for holding in holdings] == list(TOPIC_OF_SIGNAL.values())
    assert {(holding.matches, holding.left, holding.expires) for holding in holdings} == {
        (None, None, NOON + timedelta(days=8))
    }


def test_a_platform_without_backups_has_no_archive() -> None:
    assert stores.archived(context_of(Cluster(), backups=None), SUBJECT, None, NOON, lambda _: None) == []


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """The command on a platform that holds three logs; what the stores are asked for."""
    asked_for: list[tuple[str, bool]] = []

    def holdings(_: Any, pseudonym_sought: str, *, erase: bool, **__: Any) -> list[Holding]:
        asked_for.append((pseudonym_sought, erase))
        logs = holding(expires=NOON).after(3, 0) if erase else holding(expires=NOON)
        return [logs, holding(store="Kafka", matches=None, left=None, removable=False, expires=NOON)]

    platform = SimpleNamespace(platform="obs", region="here", namespace="obs")
    monkeypatch.setattr(command.platform_module, "load", lambda: platform)
    monkeypatch.setattr(command.Kube, "of", lambda _: kube_with("gateway-auth", {"hash-key": KEY}))
    monkeypatch.setattr(command, "Context", lambda platform, kube: nullcontext(SimpleNamespace(kube=kube)))
    monkeypatch.setattr(command, "holdings", holdings)
    return asked_for


def test_an_erasure_is_a_dry_run_unless_it_is_agreed_to(calls: list[tuple[str, bool]], tmp_path: Path) -> None:
    dry = CliRunner().invoke(app, ["privacy", "erase", "--subject", PLAIN])
    assert dry.exit_code == 0
    assert calls == [(SUBJECT, False)]
    assert json.loads(dry.stdout)["dry_run"] is True
    file = tmp_path / "record.json"
    done = CliRunner().invoke(
        app, ["privacy", "erase", "--subject", PLAIN, "--yes", "--record", str(file), "--reference", "case 7"]
    )
    assert done.exit_code == 0, done.output
    assert calls[1:] == [(SUBJECT, True)]
    written = json.loads(file.read_text())
    assert (written["dry_run"], written["holdings"][0]["removed"], written["reference"]) == (False, 3, "case 7")
    assert all(PLAIN not in text for text in (dry.output, done.output, file.read_text()))


def test_find_says_by_its_exit_code_whether_something_is_held(
    calls: list[tuple[str, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    held = CliRunner().invoke(app, ["privacy", "find", "--subject", "-", "--json"], input=f"{PLAIN}\n")
    assert (held.exit_code, calls) == (0, [(SUBJECT, False)])
    assert PLAIN not in held.output
    monkeypatch.setattr(command, "holdings", lambda *_, **__: [holding(matches=0, left=0)])
    assert CliRunner().invoke(app, ["privacy", "find", "--subject", PLAIN]).exit_code == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--archive-from", "2026-11-01"], "go together"),
        (["--archive-from", "2026-11-01", "--archive-to", "2026-11-02"], "--identity is missing"),
    ],
)
def test_an_archive_is_read_only_within_days_and_with_an_identity(
    calls: list[tuple[str, bool]], words: list[str], message: str
) -> None:
    result = CliRunner().invoke(app, ["privacy", "find", "--subject", PLAIN, *words])
    assert isinstance(result.exception, OpsError)
    assert message in str(result.exception)
    assert calls == []
