"""The drill that restores: an operator's commands, a Prometheus of its own, and what each kind must show."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pyrage  # type: ignore[import-untyped]
import pytest
from pydantic import SecretStr

from lab.toolchain import tools
from ops.backups.options import IDENTITY
from ops.core.access import BackupAccess
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.platform import Login
from ops.drills.procedure import CannotRunError
from ops.drills.procedures import restore
from ops.drills.run import find
from ops.drills.tools import outside
from ops.drills.tools.outside import ops, ops_json
from ops.evidence import files as evidence
from ops.evidence.reading import named
from services.backup import BackupError, signature
from services.backup import restore as stored
from services.backup.store import Store
from services.kafka_archive.segments import Record
from tests.unit.ops.backup_harness import SIGNING_KEY
from tests.unit.services.backup.harness import RECIPIENT


def program(folder: Path, script: str) -> str:
    file = folder / "program"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return str(file)


def test_a_command_is_given_as_an_operator_gives_it() -> None:
    assert "Usage:" in ops("backup", "--help")
    with pytest.raises(OpsError, match=r"^`ops backup restore nothing` failed \(2\): .*No such command"):
        ops("backup", "restore", "nothing")
    with pytest.raises(OpsError, match=r"`ops backup --help` took over 0 s and was ended"):
        ops("backup", "--help", limit_s=0.01)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo AGE-SECRET-KEY-1X >&2", "`ops a` shows an identity that opens backups"),
        ("echo no JSON", "`ops a --json` printed no JSON: no JSON"),
        ("echo one; echo two >&2; exit 7", r"`ops a --json` failed \(7\): one two"),
    ],
)
def test_what_a_command_must_not_do_is_told(
    script: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outside, "sys", SimpleNamespace(executable=program(tmp_path, script)))
    with pytest.raises(OpsError, match=message.replace("`ops a`", "`ops a.*`")):
        ops_json("a")
    if "exit" in script:
        with pytest.raises(OpsError, match="printed no JSON: one"):
            ops_json("a", good=(0, 7))


def test_a_machine_without_prometheus_is_told_which_one_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(CannotRunError, match=r"`prometheus` is not on PATH: .*install prom/prometheus:v3"):
        restore.program()
    monkeypatch.setenv("PATH", str(tools.path("prometheus").parent))
    assert restore.program() == str(tools.path("prometheus"))


def test_a_prometheus_that_ends_or_does_not_get_ready_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        pytest.raises(OpsError, match="prometheus ended with code 3: no such block"),
        restore.opened_blocks(program(tmp_path, "echo no such block >&2; exit 3"), tmp_path),
    ):
        pass
    monkeypatch.setattr(restore, "STARTS_S", 0.5)
    with (
        pytest.raises(OpsError, match="prometheus was not ready within 0 s"),
        restore.opened_blocks(program(tmp_path, f"echo $$ > {tmp_path}/pid; exec sleep 300"), tmp_path),
    ):
        pass
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()


STRICT = """
import ssl, sys
server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server.load_cert_chain(f"{sys.argv[1]}/tls.crt", f"{sys.argv[1]}/tls.key")
client = ssl.create_default_context(cafile=f"{sys.argv[1]}/tls.crt")
client.verify_flags |= ssl.VERIFY_X509_STRICT
to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
ends = [
    client.wrap_bio(to_client, to_server, server_hostname="localhost"),
    server.wrap_bio(to_server, to_client, server_side=True),
]
for _ in range(8):
    for end in ends:
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            pass
print(ends[0].version())
"""


def test_its_certificate_holds_where_every_rule_is_looked_at(tmp_path: Path) -> None:
    restore._write_files(tmp_path, "password")
    done = subprocess.run([sys.executable, "-c", STRICT, tmp_path], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "TLSv1.3", done.stderr
    assert ssl.HAS_TLSv1_3
    assert (tmp_path / "tls.key").stat().st_mode & 0o777 == 0o600
    assert "password" not in (tmp_path / "web.yml").read_text().replace("basic_auth_users", "")


ACCESS = BackupAccess(
    endpoint=None,
    region="tokyo",
    bucket="obs",
    prefix="backups/",
    metrics_prefix="metrics/",
    access_key_id=SecretStr("key-of-operators"),
    secret_access_key=SecretStr("secret-of-operators"),
    recipients=(RECIPIENT,),
    time_zone="Asia/Tokyo",
    schedules={},
)
UNTIL = datetime(2026, 11, 28, 1, 30, tzinfo=UTC)


def record(offset: int) -> Record:
    return Record(offset, 1_000 + offset, 1, b"key", b"value", ())


class Platform:
    """Commands and servers of a platform whose every backup is good; what it answers can be changed."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, store: Store) -> None:
        self.store, self.refuses = store, True
        self.topics: dict[str, Any] = {}
        self.given: list[tuple[str, ...]] = []
        self.dropped: list[str] = []
        self.counts = {"run": "20261128T010203Z", "counts": {"tables": 2, "rows": 40}, "differences": list[str]()}
        self.grafana: list[str] = []
        self.remade = 3
        self.running = {0: [record(7), record(8), record(9)]}
        self.restored = {0: [record(0)._replace(timestamp_ms=1007), record(1)._replace(timestamp_ms=1008)]}
        self.same, self.verified = True, True
        self.state: dict[str, Any] = {"version": 3, "deployment": {"resources": []}}
        self.password = "the password"
        self.compared = (0, 0)
        self.in_order_until: str | None = UNTIL.isoformat()
        (folder / "identity").write_text(str(pyrage.x25519.Identity.generate()))
        monkeypatch.setenv(IDENTITY, str(folder / "identity"))
        monkeypatch.setenv("PATH", f"{tools.path('prometheus').parent}{os.pathsep}{os.environ['PATH']}")
        for name, stub in {
            "ops": self.ops,
            "ops_json": self.ops_json,
            "make_topic": lambda context, name: self.make(name),
            "wait_until": lambda condition, *_: condition() or pytest.fail("it never came true"),
            "backup_access": lambda _: ACCESS,
            "opened": self.opened,
            "opened_blocks": self.opened_blocks,
            "running_id": lambda _, topic: f"id of {topic}",
            "live": lambda context, topic, start: self.running if topic == "alerts-raw" else self.restored,
            "compare": self.compare,
            "run_pulumi": lambda *_, **__: SimpleNamespace(returncode=0, stdout=json.dumps(self.state), stderr=b""),
        }.items():
            monkeypatch.setattr(restore, name, stub)
        monkeypatch.setattr(restore.destinations, "drop_database", lambda _, name: self.dropped.append(name))
        monkeypatch.setattr(restore.destinations, "remove_topic", lambda _, name: self.topics.pop(name, None))
        monkeypatch.setattr(restore.destinations, "search_administrator", self.search)
        monkeypatch.setattr(restore.destinations, "remove_indices", lambda _, names: self.dropped.extend(names))
        monkeypatch.setattr(restore.runs, "shipped", lambda _: [SimpleNamespace(name="primary")])
        newest = SimpleNamespace(run="20261128T010203Z", counts={"dashboards": 12, "folders": 5})
        monkeypatch.setattr(restore.runs, "find", lambda *_: newest)
        monkeypatch.setattr(restore.pulumi_state, "counted", lambda _: {"resources": 568})

    def compare(self, running: object, restored: object, selectors: object, start: int, end: int) -> SimpleNamespace:
        self.compared = start, end
        return SimpleNamespace(same=self.same, equal=60)

    def make(self, name: str, partitions: int = 3) -> None:
        self.topics[name] = SimpleNamespace(partitions=partitions, replicas=(3,) * partitions)

    def ops(self, *words: str, good: tuple[int, ...] = (0,)) -> str:
        self.given.append(words)
        if words[2:4] == ("pulumi-state", "--to"):
            file = Path(words[4])
            file.touch(mode=0o600)
            file.write_text(json.dumps(self.state))
        if words[1:4] == ("restore", "grafana", "--compare") and self.refuses:
            self.store.signers = (signature.public_key(SIGNING_KEY),)
            try:
                stored.find(self.store, "grafana", words[5])
            except BackupError as error:
                raise OpsError(str(error)) from None
        return ""

    def ops_json(self, *words: str, good: tuple[int, ...] = (0,)) -> dict[str, Any]:
        self.given.append(words)
        match words[1:3]:
            case ("restore", "grafana"):
                return {"differences": self.grafana}
            case ("restore", "kafka-metadata"):
                tag = self.tag()
                if "--apply" in words:
                    self.make(tag, self.remade)
                    return self.counts
                return {"differences": [] if tag in self.topics else [f"make topic {tag} with 3 partitions"]}
            case ("restore", "topic"):
                assert words[3:6] == ("alerts-raw", "--topic-id", "id of alerts-raw")
                return {"missing": [], "records": 2, "segments": 1, "doubled": 0, "compared_equal": 2}
            case ("restore", "metrics"):
                moments = {"start": "2026-11-28T00:00:00+00:00", "end": "2026-11-28T02:00:00+00:00"}
                return {"blocks": 4, "samples": 9000, **moments, "in_order_until": self.in_order_until}
            case ("verify", *_):
                return {"proofs": [{"kind": kind, "good": self.verified} for kind in ("database", "archive")]}
        return self.counts

    def tag(self) -> str:
        fresh = next(words for words in self.given if "--fresh" in words)
        return fresh[fresh.index("--fresh") + 1].replace("_", "-")

    @contextmanager
    def opened(self, *_: object) -> Iterator[Store]:
        yield self.store

    @contextmanager
    def opened_blocks(self, program: str, folder: Path) -> Iterator[str]:
        assert program == str(tools.path("prometheus"))
        yield "restored"

    @contextmanager
    def search(self, _: Context) -> Iterator[Any]:
        hits = [{"_id": "1", "_source": {"a": 1}}, {"_id": "2", "_source": {"a": 2}}]

        def ask(method: str, path: str, body: Any = None) -> Any:
            if path.endswith("_search"):
                return {"hits": {"hits": hits}}
            if path.endswith("_mget"):
                return {"docs": hits if self.same else hits[:1] * 2}
            return {f"{self.tag()}-logs": {}}

        @contextmanager
        def web() -> Iterator[Any]:
            yield SimpleNamespace(ask=ask)

        yield SimpleNamespace(web=web)

    def context(self) -> Context:
        login = Login(username="reader", password=cast(Any, self.password))
        kafka = SimpleNamespace(
            topics=lambda: self.topics, topic_settings=lambda names: {name: {"retention.ms": "1"} for name in names}
        )
        platform = SimpleNamespace(
            platform="obs", region="here", grafana_admin=login, prometheus_credentials={"primary": login}
        )
        return cast(
            Context,
            SimpleNamespace(
                kube=SimpleNamespace(secret_entry=lambda name, entry: f"{entry} of {name}"),
                kafka=kafka,
                platform=platform,
                ca_file="ca",
                prometheus_url=lambda _: "url",
                thanos=SimpleNamespace(number=lambda _: 1.0),
            ),
        )

    def carried_out(self) -> tuple[list[str], dict[str, Any]]:
        figures: dict[str, Any] = {}
        return restore.restore_everything(self.context(), figures), figures


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Store) -> Platform:
    return Platform(tmp_path, monkeypatch, store)


def test_every_kind_is_made_restored_and_verified(platform: Platform) -> None:
    problems, figures = platform.carried_out()
    assert problems == []
    kinds = {words[2] for words in platform.given if words[:2] == ("backup", "run")}
    assert kinds == {"database", "grafana", "kafka-metadata", "search", "pulumi-state"}
    assert platform.topics == {}
    assert platform.store.objects() == [], "the forged run is gone"
    assert platform.dropped == [platform.tag().replace("-", "_"), f"{platform.tag()}-logs"]
    drill, entry = find("restore"), evidence.catalog().entry("backups-restored")
    texts = [*(text for texts in drill.figures.values() for text in texts), entry.text]
    wanted = {figure for text in texts for figure in named(text)}
    assert [figure for figure in sorted(wanted) if evidence.figure(figures, figure) is None] == []


def test_metrics_are_compared_as_far_as_they_came_in_order(platform: Platform) -> None:
    """A block of late samples is shipped before the block with all others of its time."""
    assert platform.carried_out()[0] == []
    end = round(UNTIL.timestamp() * 1000) - 1
    assert platform.compared == (end - restore.COMPARED_MS, end)


def test_late_samples_alone_are_nothing_to_compare(platform: Platform) -> None:
    platform.in_order_until = None
    assert platform.carried_out()[0] == ["metrics: only blocks of late samples are in the object storage"]


CHANGES: tuple[tuple[str, Any, list[str]], ...] = (
    ("grafana", ["dashboard x differs"], ["grafana: Grafana is not as in its backup: ['dashboard x differs']"]),
    (
        "remade",
        2,
        ["kafka-metadata: the topic was made as (2, (3, 3), {'retention.ms': '1'}), must be (3, "],
    ),
    ("restored", {0: [record(0), record(1)]}, ["archive: partition 0 of "]),
    ("restored", {0: []}, ["archive: 0 records were read, 2 restored"]),
    ("password", '"version"', ["pulumi-state: the restored state shows a password in the clear"]),
    (
        "verified",
        False,
        ["`ops backup verify`: database is not good", "`ops backup verify`: archive is not good"],
    ),
    ("refuses", False, ["forged: a forged backup was not refused: it was compared"]),
    ("same", False, ["search: documents of ", "metrics: the restored metrics are not those of primary: "]),
)


@pytest.mark.parametrize(("attribute", "value", "told"), CHANGES, ids=[told[0][:30] for _, _, told in CHANGES])
def test_what_a_kind_does_not_show_is_told_and_the_others_are_tried(
    attribute: str, value: Any, told: list[str], platform: Platform
) -> None:
    setattr(platform, attribute, value)
    problems, figures = platform.carried_out()
    assert len(problems) == len(told)
    assert all(problem.startswith(start) for problem, start in zip(problems, told, strict=True)), problems
    assert figures.keys() == {"run s", "verified", *restore.RESTORES}
    assert platform.topics == {}


def test_counts_that_differ_fail_every_kind_that_counts(platform: Platform) -> None:
    platform.counts["differences"] = ["public.users: 3 instead of 4"]
    problems, figures = platform.carried_out()
    assert [problem.partition(":")[0] for problem in problems] == ["database", "kafka-metadata", "search"]
    assert figures["database"] == {"problem": "the restored counts differ: ['public.users: 3 instead of 4']"}
    assert platform.dropped[0].startswith("e2e_")


def test_a_fault_of_one_kind_itself_is_told_with_its_sort(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restore.pulumi_state, "parsed", lambda _: 1 / 0)
    assert platform.carried_out()[0] == ["pulumi-state: ZeroDivisionError: division by zero"]


def test_nothing_is_made_where_something_is_missing(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(CannotRunError, match="`prometheus` is not on PATH"):
        platform.carried_out()
    monkeypatch.delenv(IDENTITY)
    with pytest.raises(CannotRunError, match=f"{IDENTITY} must name"):
        platform.carried_out()
    assert platform.given == []
