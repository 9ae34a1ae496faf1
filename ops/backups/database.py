"""A dump restored into a new database of the platform, through the pod that takes writes.

Nobody but its owner may log in to a database over the network, and to a new one nobody at all: so the dump goes through
``kubectl exec``, to the pod's own ``pg_restore``. The running database is not touched.

Passwords and data go through standard input, never through arguments: every user of a machine can read those.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from components.postgres.config import MAINTENANCE, SUPERUSER, WORKLOAD
from ops.core.errors import OpsError, one_line
from ops.core.jobs import EXEC_LIMIT_S, run_in_pod
from ops.core.kube import Kube
from services.backup.database import DUMP
from services.backup.restore import Outcome

LIMIT_S = 1800.0
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_PSQL = ("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-U", SUPERUSER)
_MAKE = """
CREATE DATABASE :"name" OWNER :"owner" TEMPLATE template0;
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
"""
_COUNTS = """
SELECT n.nspname || '.' || c.relname, (xpath('/row/rows/text()',
  query_to_xml(format('SELECT count(*) AS rows FROM %I.%I', n.nspname, c.relname), false, true, '')))[1]::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                  AND d.deptype = 'e')
ORDER BY 1;
SELECT ': large objects', count(*)::text FROM pg_largeobject_metadata;
"""


def legal(name: str) -> str:
    """A name for a new database.

    Raises:
        OpsError: It is none.
    """
    if not _NAME.fullmatch(name) or name in (MAINTENANCE, "template0", "template1"):
        raise OpsError(
            f"--fresh is {name!r}: small letters, digits and _, a letter first, for example restored_grafana"
        )
    return name


def primary(kube: Kube) -> str:
    """Name of the pod that takes writes.

    Raises:
        OpsError: There is none.
    """
    problem = "no pod is ready"
    for pod in kube.pods(WORKLOAD):
        if not pod.ready:
            continue
        try:
            if _ask(kube, pod.name, MAINTENANCE, "SELECT pg_is_in_recovery();").strip() == "f":
                return pod.name
            problem = "those that answer follow"
        except OpsError as error:
            problem = str(error)
    raise OpsError(f"no PostgreSQL of the platform takes writes: {problem}")


def fresh(kube: Kube, folder: Path, database: str, name: str, tell: Callable[[str], None] = lambda _: None) -> Outcome:
    """Make a database and restore into it; when that fails, it is removed again.

    Args:
        kube: The namespace.
        folder: Where the run was fetched to.
        database: Which of its databases.
        name: Name of the new one.
        tell: Gets what is going on.

    Returns:
        Rows of each table under the names of the manifest.

    Raises:
        OpsError: There is a database of that name, or the dump cannot be restored.
    """
    legal(name)
    pod = primary(kube)
    if _ask(kube, pod, MAINTENANCE, "SELECT 1 FROM pg_database WHERE datname = :'name';", name=name).strip():
        raise OpsError(f"--fresh {name}: there is a database of that name; nothing was changed: name another one")
    owner = _owner(kube, pod, database)
    tell(f"making {name}, owner {owner}, in {pod}")
    _ask(kube, pod, MAINTENANCE, _MAKE, name=name, owner=owner)
    try:
        tell(f"restoring {database} into {name}")
        command = [
            *("pg_restore", "--exit-on-error", "--single-transaction", "--no-owner", "--no-password"),
            *(f"--role={owner}", f"--username={SUPERUSER}", f"--dbname={name}"),
        ]
        run_in_pod(kube, pod, WORKLOAD, command, given=folder / f"{database}{DUMP}", seconds=LIMIT_S)
        tell(f"counting the rows of {name}")
        return Outcome(counts=counts(kube, pod, name, database))
    except BaseException:
        drop(kube, name, pod)
        raise


def counts(kube: Kube, pod: str, name: str, database: str) -> dict[str, int]:
    """Rows of each table of the database ``name``, under the names that a manifest has for ``database``."""
    tables = dict(line.rsplit("|", 1) for line in _ask(kube, pod, name, _COUNTS, LIMIT_S).splitlines() if "|" in line)
    large = tables.pop(": large objects", "0")
    try:
        return {
            database: len(tables),
            **{f"{database}.{table}": int(rows) for table, rows in tables.items()},
            f"{database}: large objects": int(large),
        }
    except ValueError:
        raise OpsError(f"{pod} did not count the rows of {name} in numbers") from None


def drop(kube: Kube, name: str, pod: str | None = None) -> None:
    """Remove a database that `fresh` made; one that is not there is no error.

    Raises:
        OpsError: PostgreSQL refuses.
    """
    legal(name)
    _ask(kube, pod or primary(kube), MAINTENANCE, 'DROP DATABASE IF EXISTS :"name" WITH (FORCE);', name=name)


def _owner(kube: Kube, pod: str, database: str) -> str:
    question = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = :'name';"
    owner = _ask(kube, pod, MAINTENANCE, question, name=database).strip()
    if not _NAME.fullmatch(owner):
        raise OpsError(
            f"the platform has no database {database}, whose owner the new one gets: {one_line(owner) or '-'}"
        )
    return owner


def _ask(kube: Kube, pod: str, database: str, statements: str, seconds: float = EXEC_LIMIT_S, **names: str) -> str:
    """What psql prints; ``names`` are its variables, which it quotes itself (``:"name"``, ``:'name'``)."""
    variables = [word for key, value in names.items() for word in ("-v", f"{key}={value}")]
    return run_in_pod(kube, pod, WORKLOAD, [*_PSQL, *variables, "-d", database], given=statements, seconds=seconds)
