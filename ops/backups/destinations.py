"""What a restore writes beside what is there: Grafana's definitions, indices of the search cluster, topics of Kafka,
and a dump in a new database of the platform, through the pod that takes writes.

Nobody but its owner may log in to a database over the network, and to a new one nobody at all: so the dump goes through
``kubectl exec``, to the pod's own ``pg_restore``. The running database is not touched. Passwords and data go through
standard input, never through arguments: every user of a machine can read those.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer

from components.postgres.config import MAINTENANCE, SUPERUSER
from components.postgres.config import WORKLOAD as POSTGRES
from components.search.access import RESTORER, RESTORER_SECRET
from components.search.config import ADMIN as SEARCH_ADMIN
from components.search.config import HTTP_PORT, WORKLOAD
from ops.backups.options import Server
from ops.core.context import Context
from ops.core.errors import OpsError, one_line
from ops.core.grafana import address, administrator
from ops.core.jobs import EXEC_LIMIT_S, run_in_pod
from ops.core.kafka import ADMIN, TIMEOUT_SECONDS, client_settings, errors
from ops.core.kube import Kube, wait_until
from services.backup import SEARCH, grafana, restore
from services.backup import manifest as form
from services.backup.database import DUMP
from services.backup.encryption import Identity
from services.backup.grafana import Definitions, read
from services.backup.manifest import Manifest
from services.backup.restore import Outcome, connected
from services.backup.search import INDICES, documents, file_name
from services.backup.store import Store
from services.kafka_archive import restore as comparison
from services.kafka_archive import segments
from services.kafka_archive.catalogue import catalogue
from services.kafka_archive.restore import Compared, Restored
from services.kafka_archive.restore import restore as restore_topic
from services.runtime.json_api import JsonApi

_KEYS = {"folders": ("uid",), "dashboards": ("uid",), "teams": ("name",), "permissions": ("kind", "uid")}
_SOURCE_KEY = ("uid",)


def own(context: Context) -> Server:
    """The platform's own Grafana, as its administrator."""
    platform = context.platform
    return Server(url=address(platform), ca_file=Path(context.ca_file), login=administrator(platform))


def live(server: Server) -> Definitions:
    """What a running Grafana has.

    Raises:
        BackupError: It refuses, or does not answer.
    """
    with connected("Grafana", server.url, server.ca_file, login=server.login) as web:
        return read(web)


def differences(folder: Path, server: Server) -> list[str]:
    """What differs between a fetched run and a running Grafana, one line each; nothing is changed.

    Raises:
        BackupError: The run is not whole, or Grafana refuses or does not answer.
    """
    return compared(grafana.load(folder), live(server))


def compared(backup: Definitions, there: Definitions) -> list[str]:
    """What differs between two sets of definitions, one line each."""
    left, right = asdict(backup), asdict(there)
    told: list[str] = []
    for part, content in left.items():
        if isinstance(content, list):
            told += _things(part, _by_key(part, content), _by_key(part, right[part]))
        elif content != right[part]:
            told.append(f"{part} differs in {', '.join(_parts(content, right[part]))}")
    return told


def _by_key(part: str, things: list[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    keys = _KEYS.get(part, _SOURCE_KEY)
    return {" ".join(str(thing[key]) for key in keys): thing for thing in things}


def _things(part: str, backup: Mapping[str, Any], there: Mapping[str, Any]) -> list[str]:
    name = part.rstrip("s")
    return [
        f"{name} {key} is only in the backup"
        if key not in there
        else f"{name} {key} is only in Grafana"
        if key not in backup
        else f"{name} {key} differs in {', '.join(_parts(backup[key], there[key]))}"
        for key in sorted({*backup, *there})
        if backup.get(key) != there.get(key)
    ]


def _parts(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    return [key for key in sorted({*one, *other}) if one.get(key) != other.get(key)]


_SECRET = f"{SEARCH_ADMIN}-tls"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,40}-")
_OTHERWISE = "give --url, --ca and --login of somebody who may make indices"


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """The platform's search cluster, as somebody who may make indices: by a certificate, whose chain and key are files
    that end with the connection, or by a login.
    """

    url: str
    ca_file: Path
    certificate: tuple[Path, Path] | None = None
    login: tuple[str, str] | None = None

    def web(self) -> AbstractContextManager[JsonApi]:
        """A client."""
        return connected("search cluster", self.url, self.ca_file, login=self.login, certificate=self.certificate)


@contextmanager
def search_administrator(context: Context) -> Iterator[Cluster]:
    """Reach the search cluster through a tunnel: OpenSearch with the certificate of the index manager, Elasticsearch
    with the login that restores.

    Raises:
        OpsError: There is neither, or no node is ready.
    """
    kube = context.kube
    try:
        certificate = kube.secret(_SECRET)
        login = kube.secret(RESTORER_SECRET) if certificate is None else None
    except OpsError as error:
        raise OpsError(f"{error}: {_OTHERWISE}") from None
    if certificate is None:
        if login is None:
            raise OpsError(
                f"there is neither Secret {_SECRET} nor {RESTORER_SECRET}, an administrator of the search cluster: "
                f"{_OTHERWISE}"
            )
        url = context.tunnels.url(kube.ready_pod(WORKLOAD).name, HTTP_PORT)
        yield Cluster(url=url, ca_file=Path(context.ca_file), login=(RESTORER, login["password"].decode()))
        return
    url = context.tunnels.url(kube.ready_pod(WORKLOAD).name, HTTP_PORT)
    with tempfile.TemporaryDirectory(prefix="obs-search-") as folder:
        files = []
        for name in ("tls.crt", "tls.key"):
            file = Path(folder) / name
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
                target.write(certificate[name])
            files.append(file)
        yield Cluster(url=url, ca_file=Path(context.ca_file), certificate=(files[0], files[1]))


def legal(prefix: str) -> str:
    """What new names begin with.

    Raises:
        OpsError: It is no beginning of an index's name.
    """
    if not _NAME.fullmatch(prefix):
        raise OpsError(f"--prefix is {prefix!r}: small letters, digits and -, with - at the end, such as restored-")
    return prefix


def renamed(folder: Path, prefix: str) -> Manifest:
    """Give every index of a fetched run another name, and its aliases too: nobody reads or writes them by accident.

    Raises:
        OpsError: Files cannot be renamed.
        BackupError: The folder holds no such run.
    """
    manifest = restore.opened(folder, SEARCH)
    indices: dict[str, Any] = restore.content(folder, INDICES)
    moved = {
        prefix + name: {**index, "aliases": {prefix + alias: more for alias, more in index["aliases"].items()}}
        for name, index in indices.items()
    }
    files = {file_name(name): file_name(prefix + name) for name in indices}
    changed = manifest.model_copy(
        update={
            "objects": tuple(
                stored_object.model_copy(update={"name": files.get(stored_object.name, stored_object.name)})
                for stored_object in manifest.objects
            ),
            "counts": {prefix + name if name in indices else name: count for name, count in manifest.counts.items()},
        }
    )
    try:
        for old, new in files.items():
            (folder / old).rename(folder / new)
        (folder / INDICES).write_text(json.dumps(moved), encoding="utf-8")
        (folder / form.FILE).write_bytes(changed.content())
    except OSError as error:
        raise OpsError(f"{error.filename or folder}: {error.strerror}") from None
    return changed


def check(folder: Path, manifest: Manifest) -> list[str]:
    """What is wrong with a fetched run: documents that cannot be read, or are not as many as it says."""
    indices: Mapping[str, Any] = restore.content(folder, INDICES)
    problems = []
    for name in indices:
        number = sum(1 for _ in documents(folder / file_name(name)))
        if number != manifest.counts.get(name):
            problems.append(f"{name}: {number} documents, the manifest says {manifest.counts.get(name, 'nothing')}")
    return problems


def remove_indices(cluster: Cluster, names: list[str]) -> None:
    """Remove indices that a restore made under new names.

    Raises:
        BackupError: The cluster refuses or does not answer.
    """
    with cluster.web() as web:
        for name in names:
            web.ask("DELETE", f"/{name}")


_KEPT_FOR_EVER = {"retention.ms": "-1", "cleanup.policy": "delete"}
"""Of a topic that is made for a restore: its records are old, and must not go before somebody has looked."""
_TAKEN_OVER = ("max.message.bytes", "compression.type", "min.insync.replicas", "unclean.leader.election.enable")
_MOST_COPIES = 3
_SEEN_S = 30.0


def make(context: Context, store: Store, topic: str, into: str, topic_id: str | None = None) -> int:
    """Make a topic with as many partitions as the archive has; the number of them.

    Raises:
        OpsError: There is one of that name, or the brokers refuse.
        BackupError: The archive has nothing of the topic.
    """
    kafka = context.kafka
    there = kafka.topics()
    if into in there:
        raise OpsError(f"--make: topic {into} is there already; leave --make out, or name another one with --to")
    partitions = max(catalogue(store, topic, topic_id).segments) + 1
    if topic in there:
        partitions = max(partitions, there[topic].partitions)
    source = kafka.topic_settings([topic]).get(topic, {})
    settings = {**{key: source[key] for key in _TAKEN_OVER if key in source}, **_KEPT_FOR_EVER}
    copies = min(_MOST_COPIES, len(kafka.brokers()))
    new = ADMIN.NewTopic(into, num_partitions=partitions, replication_factor=copies, config=settings)
    with errors(f"topic {into} cannot be made"):
        kafka.client.create_topics([new], operation_timeout=TIMEOUT_SECONDS)[into].result(timeout=TIMEOUT_SECONDS)

    def led() -> bool:
        state = kafka.topics().get(into)
        return state is not None and state.partitions == partitions and min(state.leaders) >= 0

    wait_until(led, _SEEN_S, f"every partition of {into} to have a leader", 0.5)
    return partitions


def remove_topic(context: Context, topic: str) -> None:
    """Remove a topic that `make` made.

    Raises:
        OpsError: The brokers refuse.
    """
    with errors(f"topic {topic} cannot be removed"):
        gone = context.kafka.client.delete_topics([topic], operation_timeout=TIMEOUT_SECONDS)
        gone[topic].result(timeout=TIMEOUT_SECONDS)


def send_archived(
    context: Context,
    store: Store,
    identities: Sequence[Identity],
    topic: str,
    *,
    into: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    topic_id: str | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Restored:
    """Send the archived records again, as the administrator, into an empty topic.

    Raises:
        BackupError: The archive is not whole, the topic does not fit, or the brokers do not take a record.
    """
    settings = _settings(context)
    return restore_topic(
        store,
        identities,
        topic,
        Producer(segments.restoring(settings)),
        admin=context.kafka.client,
        since=since,
        until=until,
        into=into,
        topic_id=topic_id,
        progress=lambda partition, number: tell(f"{into or topic}: {number:,} records of partition {partition}"),
    )


def compare(
    context: Context,
    store: Store,
    identities: Sequence[Identity],
    topic: str,
    *,
    live: str | None = None,
    by_offset: bool = False,
    since: datetime | None = None,
    until: datetime | None = None,
    topic_id: str | None = None,
) -> Compared:
    """Compare the archive with a topic, record by record.

    Args:
        context: The platform.
        store: The bucket.
        identities: Of an operator.
        topic: What was archived.
        live: What it is compared with; None: the topic of the same name.
        by_offset: Whether equal offsets are compared, as of the archived topic itself; else the order.
        since: Only archived records with this timestamp or a later one.
        until: Only archived records with an earlier timestamp.
        topic_id: Which one, where a topic was made again.

    Raises:
        BackupError: The archive is not whole, or the brokers do not answer.
    """
    consumer = Consumer(segments.comparing(_settings(context)))
    try:
        return comparison.compare(
            store,
            identities,
            topic,
            consumer,
            live=live,
            by_offset=by_offset,
            since=since,
            until=until,
            topic_id=topic_id,
        )
    finally:
        consumer.close()


def _settings(context: Context) -> dict[str, Any]:
    return client_settings(context.platform, context.platform.kafka_admin)


_DUMP_LIMIT_S = 1800.0
_DATABASE_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
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


def legal_database(name: str) -> str:
    """A name for a new database.

    Raises:
        OpsError: It is none.
    """
    if not _DATABASE_NAME.fullmatch(name) or name in (MAINTENANCE, "template0", "template1"):
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
    for pod in kube.pods(POSTGRES):
        if not pod.ready:
            continue
        try:
            if _ask(kube, pod.name, MAINTENANCE, "SELECT pg_is_in_recovery();").strip() == "f":
                return pod.name
            problem = "those that answer follow"
        except OpsError as error:
            problem = str(error)
    raise OpsError(f"no PostgreSQL of the platform takes writes: {problem}")


def fresh_database(
    kube: Kube, folder: Path, database: str, name: str, tell: Callable[[str], None] = lambda _: None
) -> Outcome:
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
    legal_database(name)
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
        run_in_pod(kube, pod, POSTGRES, command, given=folder / f"{database}{DUMP}", seconds=_DUMP_LIMIT_S)
        tell(f"counting the rows of {name}")
        return Outcome(counts=counts(kube, pod, name, database))
    except BaseException:
        drop_database(kube, name, pod)
        raise


def counts(kube: Kube, pod: str, name: str, database: str) -> dict[str, int]:
    """Rows of each table of the database ``name``, under the names that a manifest has for ``database``."""
    tables = dict(
        line.rsplit("|", 1) for line in _ask(kube, pod, name, _COUNTS, _DUMP_LIMIT_S).splitlines() if "|" in line
    )
    large = tables.pop(": large objects", "0")
    try:
        return {
            database: len(tables),
            **{f"{database}.{table}": int(rows) for table, rows in tables.items()},
            f"{database}: large objects": int(large),
        }
    except ValueError:
        raise OpsError(f"{pod} did not count the rows of {name} in numbers") from None


def drop_database(kube: Kube, name: str, pod: str | None = None) -> None:
    """Remove a database that `fresh` made; one that is not there is no error.

    Raises:
        OpsError: PostgreSQL refuses.
    """
    legal_database(name)
    _ask(kube, pod or primary(kube), MAINTENANCE, 'DROP DATABASE IF EXISTS :"name" WITH (FORCE);', name=name)


def _owner(kube: Kube, pod: str, database: str) -> str:
    question = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = :'name';"
    owner = _ask(kube, pod, MAINTENANCE, question, name=database).strip()
    if not _DATABASE_NAME.fullmatch(owner):
        raise OpsError(
            f"the platform has no database {database}, whose owner the new one gets: {one_line(owner) or '-'}"
        )
    return owner


def _ask(kube: Kube, pod: str, database: str, statements: str, seconds: float = EXEC_LIMIT_S, **names: str) -> str:
    """What psql prints; ``names`` are its variables, which it quotes itself (``:"name"``, ``:'name'``)."""
    variables = [word for key, value in names.items() for word in ("-v", f"{key}={value}")]
    return run_in_pod(kube, pod, POSTGRES, [*_PSQL, *variables, "-d", database], given=statements, seconds=seconds)
