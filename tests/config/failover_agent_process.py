"""The failover agent as its pod runs it, a witness that can be cut off, a pager's door, a pair of Alertmanagers."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests
from prometheus_client.parser import text_string_to_metric_families

from components.alerting.escalation import TIMINGS, Timing
from components.rules import Severity
from lab.paths import CHECKOUT
from lab.storage import client
from services.regions import FAILOVER_AGENT
from services.regions.witness import LEASE_KEY, Lease, Witness, region_key
from tests.config.alertmanager_files import USERS
from tests.config.alertmanager_line import Line
from tests.config.alertmanager_process import Member, Pair, pair
from tests.config.servers import eventually, free_port, port_is_open
from tests.config.storage_process import BUCKET, StorageProcess, storage_process

SCRAPER = ("scrape-failover-agent", "password-of-scrape")
ISOLATED_S = 6
FOLLOWS_S = 5.0
REGION, PEER = "region-a", "region-b"


class Door:
    """A port outside that takes connections while it is open; when it is closed they are refused."""

    def __init__(self) -> None:
        self.port = free_port()
        self._server: socket.socket | None = None

    def open(self) -> None:
        """Take connections; nobody has to accept them."""
        if self._server is None:
            self._server = socket.create_server(("127.0.0.1", self.port), backlog=4096)

    def close(self) -> None:
        """Refuse them."""
        if self._server is not None:
            self._server.close()
            self._server = None


@dataclass
class FailoverAgent:
    """A running failover agent."""

    folder: Path
    port: int
    log: Path
    process: subprocess.Popen[bytes]

    def get(self, path: str, auth: tuple[str, str] | None = None) -> requests.Response:
        """A request to its web server."""
        url = f"https://localhost:{self.port}{path}"
        return requests.get(url, auth=auth, verify=str(self.folder / "ca.crt"), timeout=60)

    def ready(self) -> bool:
        """Whether it says that it is."""
        return self.get("/readyz").status_code == 200

    def metrics(self) -> dict[tuple[str, ...], float]:
        """Name and values of the labels -> value."""
        text = self.get("/metrics", SCRAPER).text
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def stop(self, number: int = signal.SIGTERM) -> float:
        """Send a signal; seconds until it has ended."""
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(15)
        return time.monotonic() - began


@dataclass
class Harness:
    """What a failover agent has around it."""

    pair: Pair
    storage: StorageProcess
    line: Line
    door: Door
    agents: list[FailoverAgent] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        """Certificates and passwords."""
        return self.pair.folder

    @property
    def witness(self) -> Witness:
        """The bucket as ``ops`` reaches it, whatever the failover agent's line is like."""
        return Witness(self.storage.place(""), wait=lambda seconds: None)

    def lease(self, holder: str, *, notify: bool = True) -> None:
        """Give the lease to a region, as ``ops`` does."""
        current = self.witness.lease()
        epoch = current[0].epoch + (current[0].holder != holder) if current else 1
        new_lease = Lease(
            holder=holder, epoch=epoch, notify=notify, since=datetime.now(UTC), by="tester", reason="test"
        )
        self.witness.take(new_lease, current[1] if current else None)

    def reset(self) -> None:
        """End every failover agent and silence, forget lease and heartbeats, mend everything."""
        self.end()
        self.line.close()
        self.line = Line(int(self.storage.url.rpartition(":")[2]))
        self.door.open()
        for key in (LEASE_KEY, region_key(REGION), region_key(PEER)):
            self.remove(key)
        for member in self.pair.members:
            for id in member.silences():
                member.call("DELETE", f"/api/v2/silence/{id}")
        eventually(lambda: not any(member.silences() for member in self.pair.members), 20, "no silence is left")

    def end(self) -> None:
        """End every failover agent."""
        for agent in self.agents:
            if agent.process.poll() is None:
                agent.stop(signal.SIGKILL)
        self.agents.clear()

    def remove(self, key: str) -> None:
        """Remove an object with all its versions: where a deletion is one of them, versitygw takes no first lease."""
        secrets = self.storage.secrets
        root = client(self.storage.url, self.storage.ca_file, secrets.root_key, secrets.root_secret)
        try:
            listing = root.list_object_versions(Bucket=BUCKET, Prefix=key)
            for version in (*listing.get("Versions", ()), *listing.get("DeleteMarkers", ())):
                root.delete_object(Bucket=BUCKET, Key=key, VersionId=version["VersionId"])
        finally:
            root.close()

    def content(self, **changes: Any) -> dict[str, Any]:
        """Settings of region A's failover agent."""
        witness = {**self.storage.settings(""), "endpoint": f"https://localhost:{self.line.port}"}
        del witness["prefix"]
        return {
            "region": REGION,
            "role": "primary",
            "peer": PEER,
            "witness": witness,
            "alertmanagers": {
                "urls": [f"https://127.0.0.1:{member.web}" for member in self.pair.members],
                "server_name": "localhost",
                "ca_file": str(self.folder / "ca.crt"),
                "user": "operator",
                "password_file": str(self.folder / "operator-password"),
            },
            "egress_targets": [f"127.0.0.1:{free_port()}", f"localhost:{self.door.port}"],
            "fingerprints": {"rules": "11aa", "topics": "22bb"},
            "listen": f"127.0.0.1:{free_port()}",
            "tls": {"cert_file": str(self.folder / "tls.crt"), "key_file": str(self.folder / "tls.key")},
            "metrics": {"user": SCRAPER[0], "password_file": str(self.folder / "agent-scraper")},
            "poll_interval_s": 2,
            "heartbeat_interval_s": 5,
            "isolated_s": ISOLATED_S,
            **changes,
        }

    def agent(self, *, ready: bool = True, **changes: Any) -> FailoverAgent:
        """Start a failover agent."""
        (self.folder / "operator-password").write_text(USERS["operator"])
        (self.folder / "agent-scraper").write_text(SCRAPER[1])
        content = self.content(**changes)
        number = len(list(self.folder.glob("agent-*.log")))
        config, log = self.folder / f"agent-{number}.json", self.folder / f"agent-{number}.log"
        config.write_text(json.dumps(content))
        port = int(content["listen"].rpartition(":")[2])
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "services.failover_agent", "--config", str(config)],
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=CHECKOUT,
                env={**os.environ, "PYTHONWARNINGS": "default"},
            )
        new_guard = FailoverAgent(self.folder, port, log, process)
        self.agents.append(new_guard)
        eventually(lambda: port_is_open(port), 20, f"the failover agent listens: {log}")
        if ready:
            eventually(new_guard.ready, 10, f"the failover agent has applied the lease: {log}")
        return new_guard

    def silent(self) -> list[bool]:
        """Of each Alertmanager, whether a failover agent's silence holds."""
        return [bool(agent_silences(member)) for member in self.pair.members if member.process]

    def until(self, silent: bool, seconds: float, what: str) -> float:
        """Wait until every Alertmanager is silent, or none is; how many seconds that took."""
        began = time.monotonic()
        eventually(lambda: set(self.silent()) == {silent}, seconds, what, promised=True)
        return time.monotonic() - began

    def stays(self, silent: bool, seconds: float) -> None:
        """Look for so long that nothing changes."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert set(self.silent()) == {silent}
            time.sleep(0.5)


def agent_silences(member: Member) -> list[dict[str, Any]]:
    """The failover agent's silences that hold at a member."""
    silences = member.call("GET", "/api/v2/silences").json()
    return [
        silence
        for silence in silences
        if silence["createdBy"] == FAILOVER_AGENT and silence["status"]["state"] == "active"
    ]


@contextmanager
def harness(pair: Pair, storage: StorageProcess) -> Iterator[Harness]:
    """A harness without failover agent and lease."""
    new_world = Harness(pair, storage, Line(int(storage.url.rpartition(":")[2])), Door())
    new_world.door.open()
    try:
        yield new_world
    finally:
        new_world.line.close()
        new_world.door.close()
        new_world.end()


@contextmanager
def of_a_quick_pair(folder: Path) -> Iterator[Harness]:
    """A harness with servers of its own, which tell all but Critical alerts after a second."""
    quick = Timing(group_wait="1s", group_interval="2s", repeat_interval="1h")
    timings = {severity: TIMINGS[severity] if severity is Severity.CRITICAL else quick for severity in Severity}
    for name in ("pair", "witness"):
        (folder / name).mkdir()
    with (
        pair(folder / "pair", timings=timings) as both,
        storage_process(folder / "witness") as storage,
        harness(both, storage) as own,
    ):
        yield own
