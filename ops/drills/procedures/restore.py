"""Every kind of backup made, compared, four of seven restored into something empty; a forged one refused (D1, M2).

Restored blocks are opened by a Prometheus on this machine: the program on PATH, on the loopback address, with a
certificate and a login of its own.
"""

from __future__ import annotations

import json
import secrets
import shutil
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from io import BytesIO
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import bcrypt
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from components.backups.component import EXPORTER_WORKLOAD
from components.backups.config import STORAGE, Kind
from components.prometheus.config import BLOCK_DURATION, rendered
from components.versions import IMAGES
from components.web_access import web_config
from ops.backups import destinations, pulumi_state, runs
from ops.backups.options import opened
from ops.core.access import BackupAccess, backup_access
from ops.core.context import Context
from ops.core.errors import OpsError, one_line
from ops.core.kafka import ADMIN, TIMEOUT_SECONDS
from ops.core.kube import wait_until
from ops.core.platform import PROJECT, run_pulumi
from ops.core.terminal import end, say
from ops.drills.procedure import LONGEST, CannotRunError
from ops.drills.procedures.object_storage import live, operator_identities, running_id, without_offsets
from ops.drills.tools import durations
from ops.drills.tools.accounts import must, unmet
from ops.drills.tools.outside import ops, ops_json
from services.backup.manifest import RunSummary, RunWriter
from services.backup.restore_metrics import QueryApi, compare

RESTORED_TOPIC: Final = "alerts-raw"
REPLICA: Final = "primary"
SAMPLED: Final = 200
PARTITIONS: Final = 3
COMPARED_MS: Final = 600_000
"""The last ten minutes of the restored blocks are compared."""
_TOPIC_S, _EXPORT_S, _LOOK_S, _TOLD_S = 30.0, 120.0, 10.0, 300.0
_AT_ONCE = 3
PROGRAM: Final = "prometheus"
DATA: Final = "data"
USER: Final = "drill"
STARTS_S: Final = 120.0
_ENDS_S: Final = 30.0
_READY_LOOK_S: Final = 0.2
_COST: Final = 4
"""Of bcrypt: nobody guesses 24 random bytes at any cost."""

Figures = dict[str, Any]


def restore_everything(context: Context, figures: Figures) -> list[str]:
    """Make every kind of backup, restore it into something empty or compare it, and have `ops` verify all."""
    operator_identities()
    program()
    tag, failed = f"e2e-{secrets.token_hex(3)}", list[str]()
    with TemporaryDirectory(prefix="obs-drill-restore-") as place:
        try:
            make_topic(context, tag)
            make_all(figures)
            for kind, restore in RESTORES.items():
                say(f"restoring {kind}")
                began, folder = time.monotonic(), Path(place) / kind
                folder.mkdir(mode=0o700)
                try:
                    figures[kind] = restore(context, folder, tag)
                    figures[kind]["seconds"] = round(time.monotonic() - began, 1)
                except Exception as error:  # the other kinds are tried all the same
                    problem = one_line(error if isinstance(error, OpsError) else f"{type(error).__name__}: {error}")
                    figures[kind] = {"problem": problem}
                    failed.append(one_line(f"{kind}: {problem}", LONGEST))
            say("verifying every backup")
            proofs = ops_json("backup", "verify", good=(0, 1))["proofs"]
            figures["verified"] = {proof["kind"]: proof["good"] for proof in proofs}
        finally:
            with suppress(OpsError):
                destinations.remove_topic(context, tag)
    verified = figures["verified"].items()
    return [*failed, *unmet(*((good, f"`ops backup verify`: {kind} is not good") for kind, good in verified))]


def make_topic(context: Context, name: str) -> None:
    """A topic with settings of its own, of which the backup of Kafka's metadata has to know."""
    config = {"min.insync.replicas": "2", "retention.ms": "3600000"}
    topic = ADMIN.NewTopic(name, num_partitions=PARTITIONS, replication_factor=3, config=config)
    context.kafka.client.create_topics([topic])[name].result(timeout=TIMEOUT_SECONDS)
    wait_until(lambda: name in context.kafka.topics(), _TOPIC_S, f"topic {name}")


def make_all(figures: Figures) -> None:
    """Run every kind now, some at the same time."""

    def make(kind: str) -> float:
        began = time.monotonic()
        ops("backup", "run", kind)
        return round(time.monotonic() - began, 1)

    kinds = [*map(str, Kind), runs.PULUMI_STATE]
    say(f"making backups of {', '.join(kinds)}")
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        figures["run s"] = dict(zip(kinds, pool.map(make, kinds), strict=True))


def same_counts(report: Mapping[str, Any]) -> Figures:
    """Some figures of a restore's report.

    Raises:
        OpsError: It has differences.
    """
    must(report["differences"] == [], f"the restored counts differ: {report['differences']}")
    counts = report["counts"]
    return {"run": report["run"], "counts": len(counts), "counted": sum(counts.values())}


def restored_database(context: Context, folder: Path, tag: str) -> Figures:
    """Into a new database of the running PostgreSQL; the running one is not touched."""
    name = tag.replace("-", "_")
    try:
        return same_counts(ops_json("backup", "restore", "database", "--fresh", name))
    finally:
        destinations.drop_database(context.kube, name)


def compared_grafana(context: Context, folder: Path, tag: str) -> Figures:
    """Nothing is restored: the definitions of the backup are those of the running Grafana."""
    differences = ops_json("backup", "restore", "grafana", "--compare", good=(0, 1))["differences"]
    must(differences == [], f"Grafana is not as in its backup: {differences}")
    with opened(backup_access(context.platform)) as store:
        manifest = runs.find(store, "grafana", None)
    if manifest.counts["dashboards"] == 0:
        raise OpsError("the backup of Grafana has no dashboard")
    return dict(manifest.counts)


def refused_forgery(context: Context, folder: Path, tag: str) -> Figures:
    """A run that somebody made up who has a job's key of the bucket: refused by its name, passed over, told by the
    exporter, with whose key it is removed.
    """
    kind, access, platform = str(Kind.GRAFANA), backup_access(context.platform), context.platform
    job, exporter = (with_key_of(context, access, workload) for workload in (f"backup-{kind}", EXPORTER_WORKLOAD))
    with opened(job) as writer, opened(access) as reader, opened(exporter) as remover:
        target = RunWriter(writer, kind, access.recipients)
        target.add("folders.json", BytesIO(b"[]"))
        made_up = RunSummary(program="nobody 1", counts={"dashboards": 1})
        run = target.finish(made_up, platform=platform.platform, region=platform.region).run
        try:
            began = time.monotonic()
            try:
                ops("backup", "restore", kind, "--compare", "--run", run)
                refusal = ""
            except OpsError as error:
                refusal = str(error)
            must("it is not signed" in refusal, f"a forged backup was not refused: {refusal or 'it was compared'}")
            must(runs.find(reader, kind, None).run != run, "the forged backup is taken as the newest")
            refused = f'min(backup_refused_runs{{kind="{kind}"}}) > 0'
            wait_until(lambda: context.thanos.number(refused) is not None, _TOLD_S, "the exporter to tell a forged run")
            return {"told s": round(time.monotonic() - began, 1)}
        finally:
            remover.delete([stored.name for stored in remover.objects(f"{kind}/{run}/")])


def with_key_of(context: Context, access: BackupAccess, workload: str) -> BackupAccess:
    """The bucket with the key of a workload, from its Secret."""
    key, secret = (
        SecretStr(context.kube.secret_entry(f"{workload}-auth", name)) for name in (STORAGE.key_id, STORAGE.secret_key)
    )
    return access.model_copy(update={"access_key_id": key, "secret_access_key": secret})


def restored_metadata(context: Context, folder: Path, tag: str) -> Figures:
    """The brokers lack nothing; a topic that is taken away is made again as it was."""
    lacking = ops_json("backup", "restore", "kafka-metadata", good=(0, 1))["differences"]
    must(lacking == [], f"the brokers lack what the backup has: {lacking}")
    before = shape(context, tag)
    destinations.remove_topic(context, tag)
    wait_until(lambda: tag not in context.kafka.topics(), _TOPIC_S, f"{tag} is gone")
    missing = ops_json("backup", "restore", "kafka-metadata", good=(1,))["differences"]
    must(missing == [f"make topic {tag} with {PARTITIONS} partitions"], f"without one topic the brokers lack {missing}")
    figures = same_counts(ops_json("backup", "restore", "kafka-metadata", "--apply"))
    wait_until(lambda: tag in context.kafka.topics(), _TOPIC_S, f"{tag} is there again")
    after = shape(context, tag)
    must(after == before, f"the topic was made as {after}, must be {before}")
    return figures


def shape(context: Context, topic: str) -> tuple[int, tuple[int, ...], dict[str, str]]:
    """Partitions, replicas of each, and settings of a topic."""
    state = context.kafka.topics()[topic]
    return state.partitions, state.replicas, dict(context.kafka.topic_settings([topic])[topic])


def restored_search(context: Context, folder: Path, tag: str) -> Figures:
    """Under new names; documents are those of the running indices."""
    compared = 0
    with destinations.search_administrator(context) as cluster, cluster.web() as web:
        try:
            figures = same_counts(ops_json("backup", "restore", "search", "--prefix", f"{tag}-"))
            names = sorted(web.ask("GET", f"/{tag}-*"))
            for name in names:
                hits = web.ask("POST", f"/{name}/_search", body={"size": SAMPLED})["hits"]["hits"]
                if hits:
                    wanted = {"ids": [hit["_id"] for hit in hits]}
                    there = web.ask("POST", f"/{name.removeprefix(f'{tag}-')}/_mget", body=wanted)["docs"]
                    same = [hit["_source"] for hit in hits] == [hit.get("_source") for hit in there]
                    must(same, f"documents of {name} differ from those of the running index")
                    compared += len(hits)
            must(compared > 0, "no document was restored")
            return {**figures, "indices": len(names), "documents compared": compared}
        finally:
            destinations.remove_indices(cluster, sorted(web.ask("GET", f"/{tag}-*") or {}))


def restored_state(context: Context, folder: Path, tag: str) -> Figures:
    """Only a file is written: it is the state that Pulumi has now, with its secrets encrypted."""
    file = folder / "state.json"
    ops("backup", "restore", "pulumi-state", "--to", str(file))
    mode = stat.S_IMODE(file.stat().st_mode)
    must(mode == 0o600, f"the file of the state has the mode {mode:o}, must be 600")
    state = pulumi_state.parsed(file.read_bytes())
    now = run_pulumi(PROJECT, "stack", "export", limit_s=_EXPORT_S)
    must(now.returncode == 0, f"`pulumi stack export` failed: {one_line(now.stderr.decode(errors='replace'))}")
    must(state == json.loads(now.stdout), "the restored state is not the one that Pulumi has")
    known = context.platform.grafana_admin
    if known is None:
        raise OpsError("the stack has no administrator of Grafana, whose password would be looked for in the state")
    must(known.pair[1].encode() not in file.read_bytes(), "the restored state shows a password in the clear")
    return pulumi_state.counted(state)


def restored_topic(context: Context, folder: Path, tag: str) -> Figures:
    """Into a new topic; record by record what the running one has, up to what is archived."""
    into = f"{tag}-records"
    chosen = ("--topic-id", running_id(context, RESTORED_TOPIC))
    words = ("backup", "restore", "topic", RESTORED_TOPIC, *chosen, "--to", into, "--make", "--compare")
    try:
        report = ops_json(*words, good=(0, 1))
        there = live(context, into, {})
        running = live(context, RESTORED_TOPIC, {})
    finally:
        with suppress(OpsError):
            destinations.remove_topic(context, into)
    must(report["missing"] == [], f"the archive lacks {report['missing']}")
    must(report["records"] > 0, "no record was restored")
    for partition, records in there.items():
        same = without_offsets(records) == without_offsets(running.get(partition, [])[: len(records)])
        must(same, f"partition {partition} of {into} differs from that of {RESTORED_TOPIC}")
    read = sum(map(len, there.values()))
    must(read == report["records"], f"{read} records were read, {report['records']} restored")
    return {key: report[key] for key in ("records", "segments", "doubled", "compared_equal")}


def restored_metrics(context: Context, folder: Path, tag: str) -> Figures:
    """Blocks open in another Prometheus, sample for sample what the running one has."""
    access = backup_access(context.platform)

    def shipped() -> bool:
        with opened(access, access.metrics_prefix) as store:
            return any(replica.name == REPLICA for replica in runs.shipped(store))

    wait_until(shipped, durations.FIRST_BLOCKS, "the first block of metrics in the object storage", _LOOK_S)
    report = ops_json("backup", "restore", "metrics", "--to", str(folder / DATA), "--replica", REPLICA)
    must(report["in_order_until"] is not None, "only blocks of late samples are in the object storage")
    end = _milliseconds(report["in_order_until"]) - 1
    start = max(_milliseconds(report["start"]), end - COMPARED_MS)
    user, password = context.platform.prometheus_credentials[REPLICA].pair
    url = context.prometheus_url(REPLICA)
    running = QueryApi(url=url, user=user, password=password, ca_file=Path(context.ca_file))
    with opened_blocks(program(), folder) as restored:
        # What Prometheus fetches itself: it is in order, so no later block holds more of the same time.
        comparison = compare(running, restored, ['job="kafka"'], start, end)
    must(comparison.same, f"the restored metrics are not those of {REPLICA}: {comparison}")
    return {"blocks": report["blocks"], "samples": report["samples"], "samples compared": comparison.equal}


def _milliseconds(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp() * 1000)


RESTORES: Mapping[str, Callable[[Context, Path, str], Figures]] = {
    "database": restored_database,
    "grafana": compared_grafana,
    "forged": refused_forgery,
    "kafka-metadata": restored_metadata,
    "search": restored_search,
    "pulumi-state": restored_state,
    "archive": restored_topic,
    "metrics": restored_metrics,
}


def program() -> str:
    """The program.

    Raises:
        CannotRunError: It is not on PATH.
    """
    path = shutil.which(PROGRAM)
    if path is None:
        raise CannotRunError(
            f"`{PROGRAM}` is not on PATH: restored blocks are opened by one on this machine; install {IMAGES[PROGRAM]} "
            "or a newer one (in the lab: python -m lab exec --)"
        )
    return path


@contextmanager
def opened_blocks(program: str, folder: Path) -> Iterator[QueryApi]:
    """Run a Prometheus until the block ends; nothing of its data goes for its age, and no blocks are merged.

    Args:
        program: Its program.
        folder: A private folder: `DATA` below it holds the blocks, its other files are written beside.

    Raises:
        OpsError: It ends, or is not ready in time.
    """
    password, port, log = secrets.token_urlsafe(24), _free_port(), folder / "prometheus.log"
    _write_files(folder, password)
    command = [
        program,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--web.config.file={folder / 'web.yml'}",
        f"--web.listen-address=127.0.0.1:{port}",
        f"--storage.tsdb.path={folder / DATA}",
        "--storage.tsdb.retention.time=10y",
        f"--storage.tsdb.min-block-duration={BLOCK_DURATION}",
        f"--storage.tsdb.max-block-duration={BLOCK_DURATION}",
        "--no-storage.tsdb.allow-overlapping-compaction",
    ]
    api = QueryApi(url=f"https://localhost:{port}", user=USER, password=password, ca_file=folder / "tls.crt")
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            _await_ready(process, api, log)
            yield api
        finally:
            end(process, _ENDS_S)


def _await_ready(process: subprocess.Popen[bytes], api: QueryApi, log: Path) -> None:
    deadline = time.monotonic() + STARTS_S
    while not _ready(api):
        if process.poll() is not None:
            said = [line for line in log.read_text(errors="replace").splitlines() if line.strip()] or ["silently"]
            raise OpsError(f"{PROGRAM} ended with code {process.returncode}: {one_line(said[-1])}")
        if time.monotonic() > deadline:
            raise OpsError(f"{PROGRAM} was not ready within {STARTS_S:.0f} s")
        time.sleep(_READY_LOOK_S)


def _ready(api: QueryApi) -> bool:
    try:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(
                f"{api.url}/-/ready", auth=(api.user, api.password), verify=str(api.ca_file), timeout=(5, 10)
            )
    except requests.RequestException:
        return False
    return answer.status_code == 200


def _write_files(folder: Path, password: str) -> None:
    hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(_COST)).decode()
    certificate, key = _certificate()
    (folder / "tls.crt").write_bytes(certificate)
    (folder / "tls.key").touch(mode=0o600)
    (folder / "tls.key").write_bytes(key)
    (folder / "web.yml").write_text(rendered(web_config({USER: hashed}, str(folder))))
    # Nothing is scraped and no rule is evaluated.
    (folder / "prometheus.yml").write_text("{}\n")


def _certificate() -> tuple[bytes, bytes]:
    """A certificate for this machine that is its own authority, and its key; PEM."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "restored blocks")])
    usage = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=True, key_cert_sign=True, **usage), critical=True)
        .add_extension(own, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM), private


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
