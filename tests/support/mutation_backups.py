"""How backups can be weakened: their jobs and programs taken away, their settings changed one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

PROGRAMS = ("services.backup", "services.kafka_archive", "services.backup_exporter")
_LONG_S = 10**9


def keeps(props: Mapping[str, Any]) -> bool:
    """Whether a workload runs a backup program, so that it may not go."""
    spec = props.get("spec") or {}
    pod = (spec.get("jobTemplate") or {}).get("spec") or spec
    containers = ((pod.get("template") or {}).get("spec") or {}).get("containers") or ()
    return any(word in PROGRAMS for container in containers for word in container.get("command") or ())


def ours(content: Any) -> bool:
    """Whether these are settings of a backup program."""
    return isinstance(content, dict) and "storage" in content and bool({"recipients", "most_age_s"} & set(content))


def settings(content: Mapping[str, Any], gone: Any) -> Iterator[tuple[Sequence[Any], Any]]:
    """Path and bad value of every place in such settings; ``gone`` stands for "taken away"."""
    endpoint = content["storage"].get("endpoint")
    if endpoint and "recipients" in content:
        yield ("storage", "endpoint"), endpoint.replace("https://", "http://")
    if "recipients" in content:
        for bad in (gone, [], ["AGE-SECRET-KEY-1" + 58 * "Q"]):
            yield ("recipients",), bad
    for section in ("database", "grafana", "kafka_metadata", "search"):
        if section in content:
            yield (section,), gone
    if "flush_s" in content:
        yield ("flush_s",), _LONG_S
        for place in range(len(content["kafka"]["topics"])):
            yield ("kafka", "topics", place), gone
    if "seal_key_file" in content:
        yield ("seal_key_file",), gone
    if "signing" in content:
        yield ("signing", "key_file"), gone
        yield ("signing", "region"), "elsewhere"
        for kind in content["keep_days"]["runs"]:
            if kind in content["most_age_s"]:
                yield ("keep_days", "runs", kind), 1
                yield ("keep_days", "runs", kind), gone
        yield ("keep_days", "archive"), 1
        for kind in content["signing"]["seal_key_files"]:
            if kind in content["most_age_s"]:
                yield ("signing", "seal_key_files", kind), gone
    for kind in content.get("most_age_s") or ():
        yield ("most_age_s", kind), gone
        yield ("most_age_s", kind), _LONG_S
    if content.get("blocks"):
        yield ("blocks",), gone
        yield ("blocks", "most_age_s"), _LONG_S
