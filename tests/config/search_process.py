"""Real search nodes on the loopback address, run from the very files and command line that the component renders.

They run as the pods' user, with the bootstrap checks enforced that a pod's address would enforce.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bcrypt
import requests
import yaml

from components.k8s import UID
from components.search import access, config, nodes
from components.search.access import SearchUser
from components.search.config import Engine, SearchCluster
from lab.toolchain import tools
from stacks.sizing import SMALL
from tests.config.servers import eventually, free_port
from tests.support import java_classes
from tests.support.kafka_nodes import Authority

START_S = 300.0
END_S = 300.0
HEAP = "384m"
ADMINISTRATOR = "tester"
"""User of Elasticsearch's own role that may everything; OpenSearch has an administrator's certificate."""
ABSENT = ("ingest.geoip.downloader.enabled", "xpack.ml.enabled")
"""Settings of modules that the Elasticsearch of Maven Central comes without; it refuses what it does not know."""
JVM_FLAGS = ("-XX:+UseParallelGC", "-XX:TieredStopAtLevel=1", "-XX:-AlwaysPreTouch")


def password_of(user: str) -> str:
    """Password of a test user."""
    return f"{user}-password"


@dataclass
class SearchNode:
    """One node: its folder, ports and process."""

    engine: Engine
    name: str
    folder: Path
    http_port: int
    transport_port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Base address of the API."""
        return f"https://localhost:{self.http_port}"

    @property
    def log(self) -> str:
        """End of the log."""
        return (self.folder / "server.log").read_text()[-4000:]

    def start(self, library: Path, flags: tuple[str, ...]) -> None:
        """Start the process.

        Args:
            library: Preloaded, so that the number of open files is what a pod may have.
            flags: More flags of Java, for OpenSearch.
        """
        (self.folder / "tmp").mkdir(exist_ok=True)
        os.chown(self.folder / "tmp", UID, UID)
        more = {"LD_PRELOAD": str(library)}
        if self.engine is Engine.OPENSEARCH:
            command = self._opensearch(flags)
        else:
            command = [str(_home(self.engine) / "bin" / "elasticsearch")]
            java = Path(shutil.which("java") or "/").resolve().parents[1]
            moved = {"ES_PATH_CONF": str(self.folder / "config"), "ES_TMPDIR": str(self.folder / "tmp")}
            more |= {**nodes.environment(self.engine), **moved, "ES_JAVA_HOME": str(java)}
            more["CLI_JAVA_OPTS"] = "-XX:TieredStopAtLevel=1"
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                user=UID,
                group=UID,
                extra_groups=[],
                env={"PATH": os.environ["PATH"], "NODE_NAME": self.name, **more},
            )

    def _opensearch(self, flags: tuple[str, ...]) -> list[str]:
        home = str(_home(self.engine))
        command = nodes.opensearch_command(home, str(self.folder / "config"), HEAP, (*JVM_FLAGS, *flags))
        command[1:1] = ["-Dopensearch.enforce.bootstrap.checks=true"]
        command[command.index("-Djava.io.tmpdir=/tmp")] = f"-Djava.io.tmpdir={self.folder / 'tmp'}"
        return command

    def stop(self, *, kill: bool = False) -> None:
        """End the process, gently or by a kill."""
        if self.process is None:
            return
        (self.process.kill if kill else self.process.terminate)()
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(timeout=60)
        self.process = None


@dataclass
class SearchProcesses:
    """A running cluster.

    Attributes:
        engine: Server of the nodes.
        root: Folder of everything; readable by the nodes' user.
        nodes: The nodes.
        users: Its users.
    """

    engine: Engine
    root: Path
    nodes: list[SearchNode]
    users: Sequence[SearchUser]
    authority: Authority = field(default_factory=Authority)

    @property
    def ca(self) -> Path:
        """Certificate of the authority."""
        return self.root / "admin" / "ca.crt"

    @property
    def administrator(self) -> tuple[tuple[Path, Path] | None, tuple[str, str] | None]:
        """Certificate and key, or name and password."""
        if self.engine is Engine.OPENSEARCH:
            return (self.root / "admin" / "tls.crt", self.root / "admin" / "tls.key"), None
        return None, (ADMINISTRATOR, password_of(ADMINISTRATOR))

    def ask(
        self,
        method: str,
        path: str,
        user: str | None,
        body: object = None,
        *,
        node: int = 0,
        password: str | None = None,
    ) -> requests.Response:
        """A request as a user or as nobody; a string body is sent as it is (bulk)."""
        text = body if isinstance(body, str) else None if body is None else json.dumps(body)
        return requests.request(
            method,
            self.nodes[node].url + path,
            data=text.encode() if text is not None else None,
            headers={"content-type": "application/json"},
            auth=(user, password or password_of(user)) if user else None,
            verify=str(self.ca),
            timeout=60,
        )

    def as_admin(self, method: str, path: str, body: object = None) -> requests.Response:
        """A request as the administrator."""
        certificate, login = self.administrator
        return requests.request(
            method,
            self.nodes[0].url + path,
            json=body,
            auth=login,
            cert=(str(certificate[0]), str(certificate[1])) if certificate else None,
            verify=str(self.ca),
            timeout=60,
        )

    def health(self, node: int = 0) -> dict[str, Any]:
        """Health of the cluster as a node sees it; empty while it does not answer."""
        try:
            answer = self.ask("GET", "/_cluster/health", access.PROBE, node=node)
        except requests.RequestException:
            return {}
        answer_body: dict[str, Any] = answer.json() if answer.status_code == 200 else {}
        return answer_body

    def wait(self, *, nodes: int, node: int = 0, seconds: float = START_S) -> float:
        """Wait until the cluster is green with so many nodes; returns the seconds waited."""
        started = time.monotonic()

        def good() -> bool:
            for member in self.nodes:
                assert member.process is None or member.process.poll() is None, (
                    f"{member.name} has ended:\n{member.log}"
                )
            health = self.health(node)
            return health.get("status") == "green" and health.get("number_of_nodes") == nodes

        eventually(good, seconds, f"green with {nodes} nodes")
        return time.monotonic() - started

    def start(self, index: int) -> None:
        """Start a node."""
        archive = java_classes.read_from(_classes()) if self.engine is Engine.OPENSEARCH else ()
        self.nodes[index].start(self.root / "open-files.so", archive)


def hashes(users: Sequence[SearchUser]) -> dict[str, str]:
    """User -> bcrypt hash of the test password."""
    return {user.name: bcrypt.hashpw(password_of(user.name).encode(), bcrypt.gensalt(5)).decode() for user in users}


def write_files(cluster: SearchProcesses) -> None:
    """Everything that a node's pod mounts."""
    seeds = tuple(f"localhost:{node.transport_port}" for node in cluster.nodes)
    for node in cluster.nodes:
        directory = node.folder / "config"
        settings = config.node_settings(
            SearchCluster(
                name="test",
                engine=cluster.engine,
                nodes=tuple(member.name for member in cluster.nodes),
                seeds=seeds,
                publish_host="localhost",
                allow_mmap=False,
                disk_watermarks=SMALL.traces.search.disk_watermarks,
                ciphers=SMALL.traces.search.ciphers,
                collects_before_refusing=SMALL.traces.search.collects_before_refusing,
                bind_host="127.0.0.1",
                http_port=node.http_port,
                transport_port=node.transport_port,
                config_directory=str(directory),
                data_directory=str(node.folder / "data"),
                log_directory=str(node.folder / "logs"),
            )
        )
        settings["resource.reload.interval.medium"] = "2s"
        for name in ABSENT:
            settings.pop(name, None)
        cluster.authority.issue(directory / "tls", config.WORKLOAD, ())
        (directory / config.settings_file(cluster.engine)).write_text(config.rendered(settings))
        opensearch = cluster.engine is Engine.OPENSEARCH
        (directory / "log4j2.properties").write_text(nodes.log_configuration(cluster.users if opensearch else ()))
        if opensearch:
            write_tree(directory / "opensearch-security", access.security_files(cluster.users, hashes(cluster.users)))
        else:
            _write_elasticsearch(node, cluster.users)
        for name in ("data", "logs"):
            (node.folder / name).mkdir()


def _write_elasticsearch(node: SearchNode, users: Sequence[SearchUser]) -> None:
    """What only a node of Elasticsearch mounts, and an administrator beside the users."""
    directory = node.folder / "config"
    options = nodes.jvm_options(HEAP, JVM_FLAGS)
    (directory / "jvm.options").write_text(options.replace("=/tmp\n", f"={node.folder / 'tmp'}\n"))
    everybody = (*users, SearchUser(name=ADMINISTRATOR))
    for name, content in access.elasticsearch_files(everybody, hashes(everybody)).items():
        text = content if isinstance(content, str) else config.rendered(content)
        # A role of its own name is every user's; this one's is built in.
        (directory / name).write_text(
            text.replace(f"{ADMINISTRATOR}:{ADMINISTRATOR}\n", f"superuser:{ADMINISTRATOR}\n")
        )


def write_tree(folder: Path, files: Mapping[str, Any]) -> None:
    """YAML files in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(yaml.safe_dump(content, sort_keys=False))


def _own(root: Path) -> None:
    """Give everything that may change to the nodes' user."""
    for path in (root, *root.rglob("*")):
        os.chown(path, UID, UID)


@functools.cache
def _home(engine: Engine) -> Path:
    """The server, where the nodes' user may look: it cannot look into root's folders."""

    def fill(target: Path) -> None:
        shutil.copytree(tools.search_home(engine.value), target / "home")
        target.chmod(0o755)

    built = tools.search_home(engine.value).parent.name
    return java_classes.made_once(Path(tempfile.gettempdir()), "obs-test-search", (built,), fill) / "home"


@functools.cache
def _classes() -> Path:
    """Folder with an archive of the classes that a node uses."""

    def fill(target: Path) -> None:
        with _files(1, (SearchUser(name=access.PROBE, watches=True),), Engine.OPENSEARCH) as cluster:
            [node] = cluster.nodes
            node.start(cluster.root / "open-files.so", (java_classes.write_at_exit(cluster.root),))
            assert node.process is not None
            cluster.wait(nodes=1)
            node.process.terminate()
            node.process.wait(timeout=END_S)
            java_classes.move(cluster.root, target)
        target.chmod(0o755)

    parts = (str(_home(Engine.OPENSEARCH)), Path(__file__).read_text())
    return java_classes.made_once(Path(tempfile.gettempdir()), "obs-test-search-classes", parts, fill)


@contextmanager
def _files(count: int, users: Sequence[SearchUser], engine: Engine) -> Iterator[SearchProcesses]:
    """The files of a cluster, in a folder that the nodes' user may look into; whoever runs is ended."""
    root = Path(tempfile.mkdtemp(prefix="search-"))
    root.chmod(0o755)
    nodes = [
        SearchNode(engine, f"search-{index}", root / f"node-{index}", free_port(), free_port())
        for index in range(count)
    ]
    cluster = SearchProcesses(engine, root, nodes, users)
    try:
        _open_files_library(root / "open-files.so")
        cluster.authority.issue(root / "admin", config.ADMIN, ())
        write_files(cluster)
        _own(root)
        yield cluster
    finally:
        for node in nodes:
            node.stop(kill=True)
        shutil.rmtree(root, ignore_errors=True)


def _open_files_library(target: Path) -> None:
    """The library with which the lab's search servers start where root may not raise the number of open files."""
    source = tools.SOURCES / "open-files" / "open-files.c"
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-s", "-o", str(target), str(source)], check=True, timeout=60)


@contextmanager
def search_processes(
    count: int, users: Sequence[SearchUser], engine: Engine = Engine.OPENSEARCH
) -> Iterator[SearchProcesses]:
    """Run a cluster until the block ends; it is green when the block starts."""
    with _files(count, users, engine) as cluster:
        for index in range(count):
            cluster.start(index)
        cluster.wait(nodes=count)
        yield cluster
