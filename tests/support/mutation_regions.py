"""How the pair of regions can be weakened: agent and mirror taken away, the agent's settings changed one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

PROGRAMS = ("services.failover_agent", "org.apache.kafka.connect.mirror.MirrorMaker")
_LONG_S = 10**6


def keeps(props: Mapping[str, Any]) -> bool:
    """Whether a workload is the failover agent or the mirror, so that it may not go."""
    pod = ((props.get("spec") or {}).get("template") or {}).get("spec") or {}
    return any(word in PROGRAMS for container in pod.get("containers") or () for word in container.get("command") or ())


def ours(content: Any) -> bool:
    """Whether these are the failover agent's settings."""
    return isinstance(content, dict) and {"witness", "alertmanagers", "isolated_s"} <= set(content)


def settings(content: Mapping[str, Any], gone: Any) -> Iterator[tuple[Sequence[Any], Any]]:
    """Path and bad value of every place in them; ``gone`` stands for "taken away"."""
    nothing: list[str] = []
    for bad in (gone, nothing):
        yield ("egress_targets",), bad
    yield ("role",), gone
    yield ("role",), {"primary": "standby", "standby": "primary"}[content["role"]]
    yield ("peer",), content["region"]
    for place, url in enumerate(content["alertmanagers"]["urls"]):
        yield ("alertmanagers", "urls", place), gone
        yield ("alertmanagers", "urls", place), url.replace("https://", "http://")
    for name in ("rules", "dashboards"):
        yield ("fingerprints", name), gone
    yield ("witness", "bucket"), gone
    if content["witness"]["endpoint"]:
        yield ("witness", "endpoint"), content["witness"]["endpoint"].replace("https://", "http://")
    for key in ("poll_interval_s", "heartbeat_interval_s", "isolated_s"):
        for bad in (gone, 0, _LONG_S):
            yield (key,), bad
