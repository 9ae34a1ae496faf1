"""Our Python programs in pods: what serves is a `PythonService`, what runs to its end is made by `python_job`.

A program reads one settings file and files with passwords, and, where it serves, answers ``/livez``, ``/readyz`` and
``/metrics`` over HTTPS on one port.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypedDict

import pulumi
import pulumi_kubernetes as k8s
import yaml

from components import naming
from components.contracts import KafkaEndpoint, ObjectStorage, ScrapeTarget, SearchEndpoint, TlsIdentity
from components.k8s.credentials import certificate
from components.k8s.deployment_context import DeploymentContext
from components.k8s.network import Allow, cluster_service, headless_service, network_policy, with_access
from components.k8s.pods import TLS_MOUNT, Container, Mount, Probe, Resources, Volume, config_files, secret_files
from components.k8s.workload import TRUST_MOUNT, Schedule, Workload, cron_job, deployment
from services.runtime.settings import KafkaTopic, Login, SearchIndex, SettingsModel, Tls

CA_FILE: Final = Path(f"{TLS_MOUNT}/ca.crt")
"""The platform's authority, in a pod that has a certificate."""
TRUST_FILE: Final = Path(f"{TRUST_MOUNT}/ca.crt")
"""The platform's authority, in a pod that runs to its end."""
HTTPS_PORT: Final = "https"
"""Name of the port that clients use."""
SCRAPE_PASSWORD: Final = "scrape-password"  # noqa: S105  (a file name)
KAFKA_PASSWORD: Final = "kafka-password"  # noqa: S105  (a file name)
SEARCH_PASSWORD: Final = "search-password"  # noqa: S105  (a file name)
_CONFIG, _AUTH = "config", "auth"
_SETTINGS_FILE = "config.yaml"
_LIVE, _READY = "/livez", "/readyz"


class Served(TypedDict):
    """Fields of `services.runtime.settings.ServerSettings`."""

    listen: str
    tls: Tls
    metrics: Login


def served(port: int, scraper: str, auth_folder: str) -> Served:
    """How a program serves.

    Args:
        port: Port that it listens on.
        scraper: User that reads the metrics.
        auth_folder: Folder with the file ``scrape-password``.
    """
    return Served(
        listen=f"0.0.0.0:{port}",
        tls=Tls(cert_file=Path(f"{TLS_MOUNT}/tls.crt"), key_file=Path(f"{TLS_MOUNT}/tls.key")),
        metrics=Login(user=scraper, password_file=Path(f"{auth_folder}/{SCRAPE_PASSWORD}")),
    )


@dataclass(frozen=True, kw_only=True)
class StorageFiles:
    """Files of who uses an object storage, in the folder of its passwords.

    Attributes:
        use: What the storage is for: the beginning of their names.
    """

    use: str = "storage"

    @property
    def key_id(self) -> str:
        """File with the id of the access key."""
        return f"{self.use}-access-key-id"

    @property
    def secret_key(self) -> str:
        """File with the access key."""
        return f"{self.use}-secret-access-key"

    @property
    def authority(self) -> str:
        """File with the authority of the storage's certificate; empty for a public one."""
        return f"{self.use}-authority.crt"

    def contents(self, storage: ObjectStorage) -> dict[str, pulumi.Input[str]]:
        """File name -> content."""
        return {
            self.key_id: storage.access_key_id,
            self.secret_key: storage.secret_access_key,
            self.authority: storage.authority,
        }

    def bucket(self, storage: ObjectStorage, folder: str, *, private: bool) -> dict[str, Any]:
        """Fields of `services.runtime.settings.BucketSettings`.

        Args:
            storage: The object storage.
            folder: Where the files are.
            private: Whether it has an authority of its own.
        """
        return {
            "endpoint": storage.endpoint,
            "region": storage.region,
            "bucket": storage.bucket,
            "access_key_id_file": f"{folder}/{self.key_id}",
            "secret_access_key_file": f"{folder}/{self.secret_key}",
            "ca_file": f"{folder}/{self.authority}" if private else None,
        }

    def section(self, storage: ObjectStorage, folder: str, *, private: bool) -> dict[str, Any]:
        """Fields of `services.runtime.settings.StorageSettings`; as `bucket`."""
        return {**self.bucket(storage, folder, private=private), "prefix": storage.prefix}


def is_private(authority: pulumi.Output[str]) -> pulumi.Output[bool]:
    """Whether a server has an authority of its own: all of the secret that settings depend on."""
    return pulumi.Output.unsecret(authority.apply(bool))


def once(password: pulumi.Output[str], ready: pulumi.Output[bool]) -> pulumi.Output[str]:
    """A password that is known only when its user may do what it is for: topics, indices and permissions exist."""
    return pulumi.Output.all(password, ready).apply(lambda both: str(both[0]))


def config_folder(program: str) -> str:
    """Folder with the settings file."""
    return f"/etc/{program}"


def auth_folder(program: str) -> str:
    """Folder with passwords."""
    return f"/etc/{program}-auth"


def kafka_topic(kafka: KafkaEndpoint, workload: str, topic: str) -> KafkaTopic:
    """A topic as a workload reads it, whose name is that of its user and of its group; its password is a file."""
    return KafkaTopic(
        bootstrap=kafka.bootstrap,
        topic=topic,
        ca_file=CA_FILE,
        username=kafka.users[workload].username,
        group=workload,
        password_file=Path(f"{auth_folder(workload)}/{KAFKA_PASSWORD}"),
    )


def search_index(search: SearchEndpoint, workload: str, index: str) -> SearchIndex:
    """An index as a workload writes it, whose name is that of its user; its password is a file."""
    return SearchIndex(
        url=search.url,
        server_name=search.server_name,
        index=index,
        ca_file=CA_FILE,
        username=search.users[workload].username,
        password_file=Path(f"{auth_folder(workload)}/{SEARCH_PASSWORD}"),
    )


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program and its container.

    Attributes:
        module: Package of ``services``.
        container: Name of the container.
        resources: Requests and limits.
        image: Short name of the image.
        folder: Whose folders it has, see `config_folder`; empty: those of the module's name.
        arguments: Of its command line, after the settings file.
        env: Plain variables.
        mounts: Mounts besides settings and passwords.
    """

    module: str
    container: str
    resources: Resources
    image: str = "services"
    folder: str = ""
    arguments: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    mounts: Sequence[Mount] = ()

    @property
    def folders(self) -> tuple[str, str]:
        """Folders with the settings and with passwords."""
        name = self.folder or self.module.replace("_", "-")
        return config_folder(name), auth_folder(name)


def python_container(
    program: Program,
    *,
    settings_file: str = "",
    port: int | None = None,
    port_name: str = naming.METRICS_PORT,
    ready_every_s: int = 5,
    pre_stop_sleep_s: int | None = None,
) -> Container:
    """The container of a program.

    Args:
        program: The program.
        settings_file: Its settings; empty: in its own folder, which is mounted then, as is that with passwords.
        port: Port that it serves, or None for a program that runs to its end.
        port_name: Name of the port.
        ready_every_s: Seconds between checks whether it is ready.
        pre_stop_sleep_s: Pause before it is told to stop, for clients to notice.
    """
    config, auth = program.folders
    file = settings_file or f"{config}/{_SETTINGS_FILE}"
    own = [] if settings_file else [Mount(volume=_CONFIG, path=config), Mount(volume=_AUTH, path=auth)]
    alive = None if port is None else Probe(http=_LIVE, port=port, https=True, period_s=2, failures=60)
    return Container(
        name=program.container,
        image=program.image,
        command=["/usr/bin/python3", "-m", f"services.{program.module}", "--config", file, *program.arguments],
        env={"PYTHONDONTWRITEBYTECODE": "1", **program.env},
        resources=program.resources,
        ports={} if port is None else {port_name: port},
        mounts=[*own, *program.mounts],
        startup=alive,
        readiness=None if port is None else Probe(http=_READY, port=port, https=True, period_s=ready_every_s),
        liveness=alive and replace(alive, period_s=20, failures=6),
        pre_stop_sleep_s=pre_stop_sleep_s,
    )


Settings = SettingsModel | pulumi.Output[SettingsModel]


def program_files(
    parent: pulumi.Resource,
    context: DeploymentContext,
    *,
    name: str,
    settings: Settings,
    secrets: Mapping[str, pulumi.Input[str]],
) -> list[Volume]:
    """The settings in a ConfigMap, and passwords in the Secret ``<name>-auth``.

    Args:
        parent: Component that owns both.
        context: Deployment context.
        name: Name of the ConfigMap, and of the workload that both are labelled with.
        settings: What the program reads at its start.
        secrets: File name -> content.
    """
    text = pulumi.Output.from_input(settings).apply(_rendered)
    public = config_files(parent, context, name=name, workload=name, files={_SETTINGS_FILE: text})
    secret = secret_files(parent, context, name=f"{name}-auth", workload=name, files=secrets)
    return [Volume(name=_CONFIG, files=public), Volume(name=_AUTH, files=secret)]


def _rendered(settings: SettingsModel) -> str:
    return yaml.safe_dump(settings.content(), sort_keys=True, allow_unicode=True)


@dataclass(frozen=True, kw_only=True)
class PythonServiceArgs:
    """A program that serves.

    Attributes:
        program: The program.
        scrape: Its metrics; its port is the one that it serves everything on.
        settings: What it is told.
        secrets: Files with passwords; ``scrape-password`` is added.
        egress: Servers that it may connect to.
        access: Access labels of these.
        clients: Access labels of those who may connect besides Prometheus; where there are some, it has a Service.
        ingress: Who may connect to other ports.
        replicas: Pods.
        recreate: Whether an old pod has to go before a new one starts.
        volumes: Volumes besides settings and passwords.
        grace_s: Seconds between SIGTERM and SIGKILL.
        pre_stop_sleep_s: Pause before SIGTERM, for clients to notice.
        ready_every_s: Seconds between checks whether it is ready.
        after: Resources that must exist first.
        timeout: How long ``pulumi up`` waits until it is ready.
    """

    program: Program
    scrape: ScrapeTarget
    settings: Settings
    secrets: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    egress: Sequence[Allow] = ()
    access: Sequence[str] = ()
    clients: Sequence[str] = ()
    ingress: Sequence[Allow] = ()
    replicas: int = 1
    recreate: bool = False
    volumes: Sequence[Volume] = ()
    grace_s: int = 30
    pre_stop_sleep_s: int | None = None
    ready_every_s: int = 5
    after: Sequence[pulumi.Resource] = ()
    timeout: str = "10m"


class PythonService:
    """The pods of a program, and all that belongs to them; the objects are children of the component that makes it.

    Attributes:
        tls: Its certificate.
        service: Its Service, where it has clients.
        pods: Its Deployment.
    """

    tls: TlsIdentity
    service: k8s.core.v1.Service | None
    pods: k8s.apps.v1.Deployment

    def __init__(self, parent: pulumi.Resource, context: DeploymentContext, args: PythonServiceArgs) -> None:
        name, port = args.scrape.job, args.scrape.port
        self.tls = certificate(parent, context, workload=name)
        headless_service(parent, context, workload=name, ports={naming.METRICS_PORT: port})
        self.service = (
            cluster_service(parent, context, workload=name, ports={HTTPS_PORT: port}) if args.clients else None
        )
        callers = [with_access(label) for label in (*args.clients, naming.METRICS_ACCESS)]
        ingress = [Allow(peers=callers, ports=[port]), *args.ingress]
        network_policy(parent, context, workload=name, ingress=ingress, egress=args.egress)
        secrets = {**args.secrets, SCRAPE_PASSWORD: args.scrape.credential.password}
        container = python_container(
            args.program, port=port, ready_every_s=args.ready_every_s, pre_stop_sleep_s=args.pre_stop_sleep_s
        )
        files = program_files(parent, context, name=name, settings=args.settings, secrets=secrets)
        self.pods = deployment(
            parent,
            context,
            Workload(
                name=name,
                replicas=args.replicas,
                containers=[container],
                volumes=[*args.volumes, *files],
                tls=self.tls,
                access=args.access,
                grace_s=args.grace_s,
            ),
            recreate=args.recreate,
            after=args.after,
            timeout=args.timeout,
        )


@dataclass(frozen=True, kw_only=True)
class PythonJobArgs:
    """A program that runs to its end on a schedule.

    Attributes:
        name: Name of the CronJob; its pods and policies share it.
        program: The program.
        files: Its settings and passwords: see `program_files`.
        schedule: When, how late, how often, how long.
        time_zone: IANA name of the time zone of the schedule.
        trust: Any certificate of the platform; only its authority's certificate is mounted.
        egress: Servers that it may connect to; nobody reaches it.
        access: Access labels of these.
        after: Resources that must exist first.
        suspended: Whether it is only there to be started by hand.
    """

    name: str
    program: Program
    files: Sequence[Volume]
    schedule: Schedule
    time_zone: str
    trust: TlsIdentity
    egress: Sequence[Allow]
    access: Sequence[str] = ()
    after: Sequence[pulumi.Resource] = ()
    suspended: bool = False


def python_job(parent: pulumi.Resource, context: DeploymentContext, args: PythonJobArgs) -> k8s.batch.v1.CronJob:
    """Make the CronJob of a program and its NetworkPolicy, as children of ``parent``."""
    network_policy(parent, context, workload=args.name, egress=args.egress)
    return cron_job(
        parent,
        context,
        workload=args.name,
        schedule=args.schedule,
        time_zone=args.time_zone,
        container=python_container(args.program),
        volumes=args.files,
        access=args.access,
        trust=args.trust,
        after=args.after,
        suspended=args.suspended,
    )
