"""Asks a search node whether it has got its copies back, so that the next node may be restarted.

Runs as ``python3 copies_started.py SETTINGS``; succeeds once the cluster is green. A cluster may also be short of
copies for a reason that this node cannot help (a lost disk elsewhere): ``patience_s`` after its start it is enough that
the node belongs to the cluster and all copies that it was given have started.
"""

from __future__ import annotations

import base64
import json
import os
import ssl
import sys
import urllib.request
from pathlib import Path
from typing import Any

_TIMEOUT_S = 8.0


def judge(health: dict[str, Any], state: dict[str, Any], node: str, running_s: float, patience_s: float) -> str:
    """Why the copies of the node do not count as started yet, or nothing."""
    if health["status"] == "green":
        return ""
    own = [key for key, value in state["nodes"].items() if value["name"] == node]
    if not own:
        return f"{node} is not part of the cluster yet"
    copies = [
        copy
        for index in state["routing_table"]["indices"].values()
        for shard in index["shards"].values()
        for copy in shard
    ]
    coming = sum(copy["node"] == own[0] and copy["state"] == "INITIALIZING" for copy in copies)
    if coming:
        return f"{coming} copies of {node} are being recovered"
    if running_s < patience_s:
        return f"the cluster is {health['status']}: {health['unassigned_shards']} copies have no node"
    return ""


def main(path: str) -> int:
    """Ask the node of this pod. Returns 0 when it has its copies."""
    settings = json.loads(Path(path).read_text())
    known = Path(settings["password_file"]).read_text().strip()
    basic = base64.b64encode(f"{settings['user']}:{known}".encode()).decode()
    context = ssl.create_default_context(cafile=settings["ca_file"])

    def get(path: str) -> dict[str, Any]:
        request = urllib.request.Request(settings["url"] + path, headers={"Authorization": f"Basic {basic}"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S, context=context) as answer:  # noqa: S310
            body: dict[str, Any] = json.load(answer)
            return body

    try:
        health = get("/_cluster/health")
        state = {} if health["status"] == "green" else get("/_cluster/state/nodes,routing_table")
    except (OSError, ValueError) as error:
        print(f"no answer yet: {error}")
        return 1
    reason = judge(health, state, os.environ["NODE_NAME"], float(os.environ["RUNNING_S"]), settings["patience_s"])
    if reason:
        print(reason)
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
