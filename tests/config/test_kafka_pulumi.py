"""The real engine with the product's own program for topics and users and the Kafka plugin, on a real broker."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramMechanism,
    UserScramCredentialDeletion,
)

from lab.pulumi_host import home
from lab.toolchain import tools
from ops.core.platform import Login
from ops.kafka.command import sign_in
from tests.config.servers import eventually, free_port
from tests.support import kafka_broker
from tests.support.kafka_broker import Broker

ROOT = Path(__file__).parents[2]
STACK = "pulumi:pulumi:Stack"
MANY = {"GRANTS": "40"}
"""More than the program has threads: all of them wait for the brokers at once."""
TOPIC, USER, SECOND = "telemetry-metrics", "gateway", "gateway-g2"
ANYTHING = AclBindingFilter(
    ResourceType.ANY, None, ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY
)
PROGRAM = """
import os
from types import SimpleNamespace
import pulumi
from components.contracts import Credential
from components.kafka.access import Access, AclRule, Quota, Topic, User, make_access, provider
from components.kafka.wait_for_brokers import Brokers

secret = pulumi.Output.secret
admin = Credential(username="admin", password=secret(os.environ["ADMIN_PASSWORD"]), bcrypt=secret(""))
users = [
    User(
        name="gateway",
        writes=("telemetry-metrics",),
        grants=tuple(
            AclRule(operation="Describe", resource_type="Topic", resource=f"topic-{number}")
            for number in range(int(os.environ["GRANTS"]))
        ),
        generation=int(generation),
    )
    for generation in os.environ["GENERATIONS"].split()
]
parent = pulumi.ComponentResource("obs:kafka:Kafka", "kafka")
external = [os.environ["BROKER"]]
connection = provider(
    parent, "admin", bootstrap=external, admin=admin, authority=os.environ["AUTHORITY"], after=[]
)
brokers = Brokers("answer", external, admin, os.environ["AUTHORITY"], limit_s=float(os.environ["LIMIT"]))
access = Access(
    topics=[Topic(name="telemetry-metrics", partitions=int(os.environ["PARTITIONS"]), retention_ms=60_000)],
    users=users,
    credentials={
        user.login: Credential(username=user.login, password=secret(f"password-of-{user.login}"), bcrypt=secret(""))
        for user in users
    },
    quotas={"gateway": Quota(produce=2**20, fetch=2**20, requests=100)},
    replication_factor=1,
    min_insync_replicas=1,
    max_message_bytes=1_000_000,
)
ready = pulumi.Output.all(**make_access(parent, connection, brokers, access)).apply(lambda each: all(each.values()))
pulumi.export("ready", ready)

def signed_in(_):
    # While the update goes on, as clients do that have not changed over yet.
    from ops.core.platform import Login
    from ops.kafka.command import sign_in

    platform = SimpleNamespace(kafka_bootstrap=external[0], ca_certificate=os.environ["AUTHORITY"])
    logins = [Login(username=name, password=f"password-of-{name}") for name in os.environ["TRIED"].split()]
    return [login.username for login in logins if not sign_in(platform, login, external[0]).problem]

if os.environ["TRIED"]:
    pulumi.export("signed_in", ready.apply(signed_in))
"""


@dataclass
class Project:
    """A project folder with its own home and state, and what its program is told."""

    folder: Path
    broker: Broker
    told: dict[str, str] = field(
        default_factory=lambda: {"PARTITIONS": "3", "LIMIT": "60", "GENERATIONS": "1", "GRANTS": "1", "TRIED": ""}
    )

    def pulumi(self, *words: str, **told: str) -> tuple[int, str]:
        """Run the engine; its exit code and everything it said."""
        programs = [self.folder / "home" / "bin", tools.path("pulumi").parent]
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PULUMI_")}
        environment = {
            **kept,
            "PULUMI_HOME": str(self.folder / "home"),
            "PATH": os.pathsep.join([*map(str, programs), os.environ["PATH"]]),
            "PYTHONPATH": str(ROOT),
            "PULUMI_BACKEND_URL": f"file://{self.folder / 'backend'}",
            "PULUMI_CONFIG_PASSPHRASE": "a passphrase",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            # An update is short: with Go's default a fifth of the engine's work is garbage collection.
            "GOGC": "400",
            "BROKER": self.broker.bootstrap,
            "AUTHORITY": self.broker.ca,
            "ADMIN_PASSWORD": self.broker.password,
            **self.told,
            **told,
        }
        done = subprocess.run(
            ["pulumi", *words, "--non-interactive", "--color=never"],
            cwd=self.folder / "project",
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            stdin=subprocess.DEVNULL,
        )
        said = done.stdout + done.stderr
        assert self.broker.password not in said
        return done.returncode, said

    def up(self, **told: str) -> tuple[int, str]:
        """Run an update without a preview."""
        return self.pulumi("up", "--yes", "--skip-preview", **told)

    @cached_property
    def admin(self) -> AdminClient:
        """The broker's administrator."""
        return AdminClient(self.broker.client())

    def outputs(self) -> dict[str, Any]:
        """Outputs of the stack, as its state has them."""
        state = json.loads((self.folder / "backend" / ".pulumi" / "stacks" / "kafka" / "dev.json").read_text())
        [stack] = [entry for entry in state["checkpoint"]["latest"]["resources"] if entry["type"] == STACK]
        outputs: dict[str, Any] = stack["outputs"]
        return outputs

    def signed_in(self, *names: str) -> list[str]:
        """Those of some users whom the broker lets in."""
        platform: Any = SimpleNamespace(kafka_bootstrap=self.broker.bootstrap, ca_certificate=self.broker.ca)
        logins = [Login(username=name, password=f"password-of-{name}") for name in names]
        return [login.username for login in logins if not sign_in(platform, login, self.broker.bootstrap).problem]

    def partitions(self) -> int:
        """Partitions that the broker has of the topic; 0: there is no topic."""
        topic = self.admin.list_topics(timeout=60).topics.get(TOPIC)
        return len(topic.partitions) if topic else 0

    def users(self) -> set[str]:
        """Users that the broker knows, but for the administrator."""
        return set(self.admin.describe_user_scram_credentials(None).result(60)) - {self.broker.username}

    def principals(self) -> set[str]:
        """Whoever may do anything."""
        return {binding.principal for binding in self.admin.describe_acls(ANYTHING).result(60)}

    def empty_broker(self) -> None:
        """Remove what the program made."""
        if self.partitions():
            self.admin.delete_topics([TOPIC])[TOPIC].result(60)
        self.admin.delete_acls([ANYTHING])[ANYTHING].result(60)
        for name in (USER, SECOND):
            user = UserScramCredentialDeletion(name, ScramMechanism.SCRAM_SHA_512)
            with suppress(KafkaException):  # A test that failed may not have made the user.
                self.admin.alter_user_scram_credentials([user])[name].result(60)
        eventually(lambda: not self.partitions(), 30, "the topic is gone")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with kafka_broker.running(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture(scope="module")
def new_project(tmp_path_factory: pytest.TempPathFactory, broker: Broker) -> Iterator[Project]:
    """A project with a stack that has no resources yet."""
    folder = tmp_path_factory.mktemp("pulumi")
    for name in ("project", "backend"):
        (folder / name).mkdir()
    home.install(folder / "home", sys.executable)
    (folder / "project" / "Pulumi.yaml").write_text("name: kafka\nruntime: python\n")
    (folder / "project" / "__main__.py").write_text(PROGRAM)
    pulumi_project = Project(folder, broker)
    assert pulumi_project.pulumi("stack", "init", "dev")[0] == 0
    shutil.copytree(folder / "backend", folder / "new")
    yield pulumi_project
    shutil.rmtree(folder / "home")


@pytest.fixture
def project(new_project: Project) -> Iterator[Project]:
    """The same for each test: what an earlier one made is not in the stack and not on the broker."""
    shutil.rmtree(new_project.folder / "backend")
    shutil.copytree(new_project.folder / "new", new_project.folder / "backend")
    yield new_project
    new_project.empty_broker()


@contextmanager
def opened_later(port: int, target: str, after_s: float) -> Iterator[None]:
    """A port that refuses connections at first and leads to ``target`` after a while."""
    host, _, number = target.rpartition(":")
    over, server = threading.Event(), socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sockets: list[socket.socket] = [server]

    def pass_on(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def serve() -> None:
        if over.wait(after_s):
            return
        server.bind(("127.0.0.1", port))
        server.listen(16)
        while True:
            try:
                near = server.accept()[0]
                far = socket.create_connection((host, int(number)), timeout=60)
            except OSError:
                return
            far.settimeout(None)
            sockets.extend((near, far))
            for pair in ((near, far), (far, near)):
                threading.Thread(target=pass_on, args=pair, daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        for connection in sockets:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        thread.join(60)


def test_an_update_waits_for_the_brokers_before_the_provider_connects_once_and_for_all(project: Project) -> None:
    closed = free_port()
    # A preview asks nobody.
    assert project.pulumi("preview", BROKER=f"127.0.0.1:{closed}", **MANY)[0] == 0

    code, said = project.up(BROKER=f"127.0.0.1:{closed}", LIMIT="2", **MANY)
    assert code != 0
    reason = f"Kafka: 127.0.0.1:{closed} does not answer as it must ("
    assert reason in said
    assert "see that the brokers run and that this address can be reached from here, then run the update again" in said
    assert "Traceback" not in said
    assert 'File "' not in said
    assert "The provider does not try again" not in said, "the provider was used before the brokers answered"
    assert project.partitions() == 0

    _check_that_a_wrong_password_of_the_administrator_is_named_as_the_cause(project)

    with opened_later(closed, project.broker.bootstrap, 6):
        code, said = project.up(BROKER=f"127.0.0.1:{closed}", **MANY)
        assert code == 0, said
    assert project.partitions() == 3
    # Nothing is to be changed, so nobody is asked.
    assert project.up(BROKER=f"127.0.0.1:{closed}", LIMIT="2", **MANY)[0] == 0
    # Another address is no reason to make anything anew, and a topic grows where it is.
    code, said = project.up(PARTITIONS="5", **MANY)
    assert code == 0, said
    # The provider's address and the topic.
    assert "~ 2 updated" in said
    assert "created" not in said.partition("Outputs")[0]
    assert "replaced" not in said
    assert project.partitions() == 5
    project.pulumi("state", "unprotect", "--all", "--yes")
    assert project.pulumi("destroy", "--yes", "--skip-preview")[0] == 0
    assert project.partitions() == 0


def _check_that_a_wrong_password_of_the_administrator_is_named_as_the_cause(project: Project) -> None:
    code, said = project.up(ADMIN_PASSWORD="another-password", LIMIT="2", **MANY)
    assert code != 0
    assert f"Kafka: {project.broker.bootstrap} refuses the administrator since" in said
    assert "check that its password and the authority are those that the brokers know (docs/secrets.md)" in " ".join(
        said.split()
    )
    assert "another-password" not in said
    assert project.partitions() == 0


def test_a_new_login_is_good_before_the_old_one_ends_and_a_topic_whose_partitions_shrink_is_protected(
    project: Project,
) -> None:
    code, said = project.up()
    assert code == 0, said
    assert project.partitions() == 3
    assert (project.users(), project.principals()) == ({USER}, {f"User:{USER}"})
    both = {"GENERATIONS": "2 1", "TRIED": f"{USER} {SECOND} nobody"}
    code, said = project.up(**both)
    assert code == 0, said
    assert project.outputs()["signed_in"] == [USER, SECOND]
    assert (project.users(), project.principals()) == ({USER, SECOND}, {f"User:{USER}", f"User:{SECOND}"})
    # Topics and the login of before are untouched, and the same generations again change nothing.
    told = said.partition("Outputs")[0]
    assert "Topic" not in told
    assert "deleted" not in told
    assert "unchanged" in project.up(**both)[1].partition("Resources")[2]
    code, said = project.up(GENERATIONS="2")
    assert code == 0, said
    assert "created" not in said.partition("Outputs")[0]
    assert (project.users(), project.principals()) == ({SECOND}, {f"User:{SECOND}"})
    assert project.signed_in(SECOND, USER) == [SECOND]

    for words in (("preview",), ("up", "--yes", "--skip-preview")):
        code, said = project.pulumi(*words, GENERATIONS="2", PARTITIONS="2")
        assert code != 0, said
        [line] = {part.strip() for part in " ".join(said.split()).split("error: ") if "marked for protection" in part}
        assert line.startswith('unable to replace resource "urn:pulumi:dev::kafka')
        assert "topic:Topic::telemetry-metrics" in line
        assert project.partitions() == 3

    # Who takes the protection away gets what the vendor's provider does.
    assert project.pulumi("state", "unprotect", "--all", "--yes")[0] == 0
    code, said = project.up(GENERATIONS="2", PARTITIONS="2")
    assert code == 0, said
    assert project.partitions() == 2
