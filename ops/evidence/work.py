"""Records of maintenance and drills, stored beside the reports: who reads a monthly report sees what was done."""

from __future__ import annotations

import getpass
import json
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

from components.storage_roles import REPORT_PREFIX
from ops.core.access import BackupAccess
from ops.core.errors import OpsError, one_line
from ops.evidence import files as evidence
from ops.evidence.files import PlatformId
from services.reports.delivery import JSON_TYPE, Store
from services.reports.model import ReportError
from services.reports.records import FOLDER, WorkRecord

MAINTENANCE: Final = Path("maintenance")
"""Where ``ops maintain`` writes its records, if not told otherwise."""
_DRILL = re.compile(r"ops drill ([a-z0-9-]+)")
"""How the catalog says that evidence is that of a drill."""
_MOST_PROBLEMS, _LONGEST = 50, 300


@contextmanager
def opened(access: BackupAccess) -> Iterator[Store]:
    """The bucket below the prefix of the reports, with the operators' key.

    Raises:
        OpsError: The storage refuses, or does not answer.
    """
    with access.storage(REPORT_PREFIX) as (storage, login):
        try:
            yield Store(storage, login)
        except ReportError as error:
            raise OpsError(str(error)) from None


def maintenance(folder: Path, platform: str, region: str) -> list[WorkRecord]:
    """Runs of ``ops maintain`` on a platform whose records are in a folder.

    Raises:
        OpsError: A file of that name is no record.
    """
    records = []
    for file in sorted(folder.glob("maintenance-*.json")):
        try:
            document = json.loads(file.read_bytes())
            if (document["platform"], document["region"]) != (platform, region):
                continue
            checks = document["checks"]
            records.append(
                WorkRecord(
                    work="maintenance",
                    name=document["maintenance"],
                    started=datetime.fromisoformat(document["started"]),
                    recorded_by=_operator(),
                    checks=len(checks),
                    problems=_bounded([str(check["id"]) for check in checks if check["result"] != "ok"]),
                    commit=document["commit"],
                )
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise OpsError(f"{file} is no record of `ops maintain`: {one_line(error)}") from None
    return records


def drills(identity: PlatformId, folder: Path = evidence.FOLDER) -> list[WorkRecord]:
    """Runs of drills on a cluster whose evidence is in a folder, which keeps the newest ones of each."""
    names = {
        name: match[1] for name, entry in evidence.catalog().evidence.items() if (match := _DRILL.fullmatch(entry.run))
    }
    return [
        WorkRecord(
            work="drill",
            name=drill,
            started=run.time,
            recorded_by=_operator(),
            problems=_bounded(evidence.problems(run)),
            commit=run.commit,
        )
        for name, drill in names.items()
        for run in evidence.read(name, folder).runs
        if run.platform is not None and run.platform.cluster_id == identity.cluster_id
    ]


def add(store: Store, records: Sequence[WorkRecord]) -> list[WorkRecord]:
    """Store the records that are not stored yet; those that were stay as they are.

    Returns:
        The new ones.

    Raises:
        ReportError: The storage refuses, or does not answer.
    """
    present = {name for name, _ in store.names(FOLDER)}
    new = [record for record in records if record.key not in present]
    for record in new:
        store.put(record.key, record.model_dump_json().encode(), JSON_TYPE)
    return new


def _bounded(problems: Sequence[str]) -> tuple[str, ...]:
    return tuple(one_line(problem, _LONGEST) for problem in problems[:_MOST_PROBLEMS])


def _operator() -> str:
    return f"{getpass.getuser()}@{socket.gethostname()}"
