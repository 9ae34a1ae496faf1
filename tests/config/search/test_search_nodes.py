"""Renewal of a certificate and loss of a node in a real search cluster; the last of its tests."""

from __future__ import annotations

import json
import os
import re
import shutil
import ssl
import subprocess
import sys
from pathlib import Path

from components.k8s import UID
from components.search import access, config, nodes
from tests.config.index_manager_process import (
    IndexManagerFiles,
)
from tests.config.search.documents import TRACE, readable_documents, span
from tests.config.search_process import SearchProcesses
from tests.config.servers import eventually


def test_a_renewed_certificate_is_served_without_a_restart(cluster: SearchProcesses, tmp_path: Path) -> None:
    node = cluster.nodes[1]
    address = ("localhost", node.http_port)
    before = ssl.get_server_certificate(address)
    cluster.authority.issue(tmp_path, config.WORKLOAD, ())
    for name in ("tls.key", "tls.crt"):
        os.chown(tmp_path / name, UID, UID)
        shutil.move(tmp_path / name, node.folder / "config" / "tls" / name)
    eventually(lambda: ssl.get_server_certificate(address) != before, 30, "the new certificate is served")
    assert cluster.health(1)["number_of_nodes"] == 3


def test_garbage_in_the_heap_is_no_reason_to_refuse_a_request(cluster: SearchProcesses) -> None:
    for node in cluster.as_admin("GET", "/_nodes/stats/breaker,jvm").json()["nodes"].values():
        limit = node["breakers"]["parent"]["limit_size_in_bytes"] / node["jvm"]["mem"]["heap_max_in_bytes"]
        assert limit < 0.75, "the limit of what is held is 70 %, that of the heap with its garbage 95 %"


def test_acknowledged_logs_outlive_the_loss_of_their_primary(spans: SearchProcesses) -> None:
    def write(first: int) -> None:
        lines: list[object] = []
        for number in range(first, first + 500):
            lines += [{"index": {"_index": "logs-write", "_id": f"lost-{number}"}}, {"event": "lost", "body": "x"}]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        answer = spans.ask("POST", "/_bulk", "log-indexer", text)
        assert answer.status_code == 200
        assert not answer.json()["errors"]

    def shards() -> dict[str, str]:
        rows = spans.as_admin("GET", "/_cat/shards/logs-000001?format=json&h=shard,prirep,node,state").json()
        return {row["prirep"]: row["node"] for row in rows if row["shard"] == "0" and row["state"] == "STARTED"}

    def count() -> int:
        body = {"query": {"term": {"event": "lost"}}, "size": 0, "track_total_hits": True}
        return int(spans.ask("GET", "/logs-read/_search", "log-reader", body).json()["hits"]["total"]["value"])

    eventually(lambda: set(shards()) == {"p", "r"}, 60, "the log index has its copy")
    settings = spans.as_admin("GET", "/logs-000001/_settings").json()["logs-000001"]["settings"]["index"]
    assert settings["replication"]["type"] == "SEGMENT"
    write(0)
    primary = shards()["p"]
    cancel = {"index": "logs-000001", "shard": 0, "node": primary, "allow_primary": True}
    write(500)
    answer = spans.as_admin("POST", "/_cluster/reroute", {"commands": [{"cancel": cancel}]})
    assert answer.status_code == 200, answer.text
    eventually(lambda: shards().get("p") not in (None, primary), 60, "the copy is the primary")
    eventually(lambda: count() == 1000, 60, "every acknowledged record is found")
    spans.wait(nodes=3)


def test_a_killed_node_stops_no_search_and_has_its_copies_only_when_the_cluster_is_whole(
    spans: SearchProcesses, files: IndexManagerFiles, tmp_path: Path
) -> None:
    victim = spans.nodes[2]
    victim.stop(kill=True)

    def one_found() -> bool:
        lines = ({"index": {"_index": "public-jaeger-span-write"}}, span("public", 77))
        answer = spans.ask(
            "POST", "/_bulk?timeout=20s", "jaeger-collector", "".join(json.dumps(x) + "\n" for x in lines)
        )
        return answer.status_code == 200 and not answer.json()["errors"]

    eventually(one_found, 30, "writes go on")
    assert readable_documents(spans, "jaeger-query-public", "public-jaeger-span-read", {"term": {"traceID": TRACE}})
    eventually(lambda: spans.health()["status"] == "yellow", 30, "every index has its primary copies again")
    (tmp_path / "copies_started.py").write_text(nodes.copies_script())
    (tmp_path / "password").write_text("search-probe-password")

    def probe(node: int, patience_s: int) -> subprocess.CompletedProcess[str]:
        settings = json.loads(
            nodes.probe_settings(
                user=access.PROBE,
                password_file=str(tmp_path / "password"),
                ca_file=str(spans.ca),
                patience_s=patience_s,
            )
        )
        (tmp_path / "probe.json").write_text(json.dumps({**settings, "url": spans.nodes[node].url}))
        return subprocess.run(
            [sys.executable, str(tmp_path / "copies_started.py"), str(tmp_path / "probe.json")],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "NODE_NAME": spans.nodes[node].name, "RUNNING_S": "1000"},
        )

    waiting = probe(0, 10**9)
    assert waiting.returncode == 1
    assert re.fullmatch(r"the cluster is yellow: \d+ copies have no node\n", waiting.stdout), waiting
    assert probe(0, 0).returncode == 0
    gone = probe(2, 0)
    assert gone.returncode == 1
    assert gone.stdout.startswith("no answer yet: ")
    spans.start(2)
    spans.wait(nodes=3)
    assert probe(2, 10**9).returncode == 0
