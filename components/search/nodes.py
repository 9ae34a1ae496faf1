"""The nodes of the search cluster as pods: how one is started, logs, and is asked whether it has its copies; commands
and files as data.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from components import naming
from components.contracts import Credential
from components.java import PLAIN_STORES
from components.k8s import (
    TLS_MOUNT,
    Allow,
    Container,
    DeploymentContext,
    FileSet,
    Mount,
    Probe,
    Resources,
    StorageClaim,
    Volume,
    Workload,
    certificate,
    cluster_service,
    config_files,
    headless_service,
    network_policy,
    pods,
    secret_files,
    stateful_set,
    with_access,
    workload_pods,
)
from components.search import access, config
from components.search.access import SearchUser
from components.search.config import (
    CONFIG_DIRECTORIES,
    DATA_DIRECTORY,
    HTTP_PORT,
    TRANSPORT_PORT,
    WORKLOAD,
    Engine,
    SearchCluster,
)

OPENSEARCH_HOME = "/opt/opensearch"
CONTAINER = "server"
_QUIET = ("deprecation", "org.opensearch.deprecation", "org.elasticsearch.deprecation")


def server_command(engine: Engine, heap: str, jvm_flags: tuple[str, ...]) -> list[str]:
    """Start one node.

    Args:
        engine: Server.
        heap: Java heap, for example ``384m``.
        jvm_flags: Garbage collector and compiler flags. The server refuses to start with the serial collector.
    """
    if engine is Engine.ELASTICSEARCH:
        return ["/usr/share/elasticsearch/bin/elasticsearch"]
    return opensearch_command(OPENSEARCH_HOME, CONFIG_DIRECTORIES[engine], heap, jvm_flags)


def opensearch_command(home: str, config_directory: str, heap: str, jvm_flags: tuple[str, ...]) -> list[str]:
    """Java itself, without the start script: that one starts Java three more times and wants to write files."""
    return [
        "java",
        f"-Xms{heap}",
        f"-Xmx{heap}",
        *jvm_flags,
        f"-XX:MaxDirectMemorySize={_half(heap)}",
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:-OmitStackTraceInFastThrow",
        "-Xss1m",
        "-Djava.awt.headless=true",
        PLAIN_STORES,
        "-Dfile.encoding=UTF-8",
        "-Djava.locale.providers=SPI,COMPAT",
        "-Djna.nosys=true",
        "-Djava.io.tmpdir=/tmp",
        "-Dopensearch.networkaddress.cache.ttl=5",
        "-Dopensearch.networkaddress.cache.negative.ttl=1",
        "-Dio.netty.noUnsafe=true",
        "-Dio.netty.noKeySetOptimization=true",
        "-Dio.netty.recycler.maxCapacityPerThread=0",
        "-Dio.netty.allocator.numDirectArenas=0",
        "-Dio.netty.allocator.type=unpooled",
        "-Dlog4j.shutdownHookEnabled=false",
        "-Dlog4j2.disable.jmx=true",
        "-Djava.util.concurrent.ForkJoinPool.common.threadFactory="
        "org.opensearch.secure_sm.SecuredForkJoinWorkerThreadFactory",
        f"-Dopensearch.path.home={home}",
        f"-Dopensearch.path.conf={config_directory}",
        "-Dopensearch.distribution.type=tar",
        "-Dopensearch.bundled_jdk=false",
        "-cp",
        f"{home}/lib/*",
        "org.opensearch.bootstrap.OpenSearch",
    ]


def environment(engine: Engine) -> dict[str, str]:
    """Environment of the process."""
    if engine is Engine.OPENSEARCH:
        return {}
    return {"ES_PATH_CONF": CONFIG_DIRECTORIES[engine], "ES_TMPDIR": "/tmp"}


def jvm_options(heap: str, jvm_flags: tuple[str, ...]) -> str:
    """Elasticsearch's Java options; its start script adds what the server cannot do without."""
    own = ("-XX:+ExitOnOutOfMemoryError", "-Djava.io.tmpdir=/tmp", PLAIN_STORES)
    flags = (f"-Xms{heap}", f"-Xmx{heap}", *jvm_flags, *own)
    return "".join(f"{flag}\n" for flag in flags)


def _half(heap: str) -> str:
    """Half of a size such as ``384m`` or ``4g``."""
    number, unit = int(heap[:-1]), heap[-1].lower()
    megabytes = number * {"m": 1, "g": 1024}[unit]
    return f"{megabytes // 2}m"


def log_configuration(users: Sequence[SearchUser]) -> str:
    """Log4j2 to standard output, one line per event, whatever a client makes the server write; no bodies of requests.

    Of the audit log's lines those are dropped that say what a service was let do: thousands a minute.

    Args:
        users: Users of the cluster.
    """
    properties = {
        "status": "error",
        "appender.console.type": "Console",
        "appender.console.name": "console",
        "appender.console.layout.type": "PatternLayout",
        "appender.console.layout.pattern": "%d{ISO8601} %p %c{1.} [%node_name]%marker %enc{%m%xEx}{CRLF}%n",
        "rootLogger.level": "info",
        "rootLogger.appenderRef.console.ref": "console",
    }
    for number, name in enumerate(_QUIET):
        properties |= {f"logger.quiet{number}.name": name, f"logger.quiet{number}.level": "error"}
    services = [user.name for user in users if not user.people]
    if services:
        dropped = "logger.audit.filter.services"
        properties |= {
            "logger.audit.name": "audit",
            "logger.audit.level": "info",
            f"{dropped}.type": "RegexFilter",
            f"{dropped}.regex": _let_in(services),
            f"{dropped}.onMatch": "DENY",
            f"{dropped}.onMismatch": "NEUTRAL",
        }
    return "".join(f"{key} = {value}\n" for key, value in properties.items())


def _let_in(services: Sequence[str]) -> str:
    """A pattern of lines that say only that one of these was let do something. A client's own parameter of the same
    name hides nothing: whatever else the line says under that name, it stays.
    """
    wanted = {"audit_category": ["GRANTED_PRIVILEGES"], "audit_request_effective_user": sorted(services)}
    heads = [(f'"{field}":"', f'(?!.*"{field}":"(?!(?:{"|".join(values)})"))') for field, values in wanted.items()]
    return "".join(f"{no_other}(?=.*{head})" for head, no_other in heads) + ".*"


def copies_script() -> str:
    """The readiness probe's program; it runs in the pod, with nothing but Python's own library."""
    return Path(__file__).with_name("copies_started.py").read_text()


def probe_settings(*, user: str, password_file: str, ca_file: str, patience_s: int) -> str:
    """Settings of the readiness probe.

    Args:
        user: May see the cluster's state.
        password_file: Its password.
        ca_file: The authority's certificate.
        patience_s: Seconds after which a node that does what it can counts as ready in a cluster that is not green.
    """
    settings = {
        "url": f"https://localhost:{HTTP_PORT}",
        "user": user,
        "password_file": password_file,
        "ca_file": ca_file,
        "patience_s": patience_s,
    }
    return json.dumps(settings, sort_keys=True)


def probe_command(engine: Engine, *, files: str, secrets: str, ca_file: str) -> tuple[str, ...]:
    """Ask a node whether it has its copies. Elasticsearch's image has curl and no Python; there, after the same
    patience, it is enough that no node is getting a copy.

    Args:
        engine: Server.
        files: Folder of the probe's program and settings.
        secrets: Folder of its password.
        ca_file: The authority's certificate.
    """
    if engine is Engine.OPENSEARCH:
        return ("python3", f"{files}/copies_started.py", f"{files}/probe.json")
    url = f"https://localhost:{HTTP_PORT}/_cluster/health?timeout=20s&"
    words = ("curl", "-sS", "-o", "/dev/null", "--fail", "--cacert", ca_file, "-K", f"{secrets}/curl")
    choice = f"state='{WHOLE}'; ((RUNNING_S < {_PATIENCE_S})) || state='{NOTHING_COMES}'"
    return ("bash", "-c", f'{choice}; exec {shlex.join(words)} "{url}$state"')


_FILES = "/etc/search"
_SECRETS = "/etc/search-probe"
_SECURITY = "opensearch-security"
_PATIENCE_S = 300
WHOLE = "wait_for_status=green"
NOTHING_COMES = "wait_for_status=yellow&wait_for_no_initializing_shards=true"
"""What a cluster may be for longer, since copies may be missing that nobody here can bring back."""
_QUESTION_S = 25


@dataclass(frozen=True, kw_only=True)
class NodeSize:
    """Size of every node.

    Attributes:
        resources: Of the container.
        heap: Java heap, for example ``384m``; at most half of the memory.
        jvm_flags: Garbage collector (not the serial one) and compiler flags.
        storage: Size of each volume.
        grace_s: Seconds that a node may take to close its files.
        allow_mmap: Map index files into memory; needs ``vm.max_map_count`` of at least 262144 on the machine.
        disk_watermarks: Used share of the disk at which a node gets no further shards, hands shards over, stops writes.
        ciphers: Cipher suites of TLS; empty: the engine's own.
    """

    resources: Resources
    heap: str
    jvm_flags: tuple[str, ...]
    storage: str
    grace_s: int
    allow_mmap: bool
    disk_watermarks: tuple[str, str, str] = ("85%", "90%", "95%")
    ciphers: tuple[str, ...] = ()

    @property
    def collects_before_refusing(self) -> bool:
        """What `SearchCluster` has to know of the garbage collector."""
        return "-XX:+UseG1GC" in self.jvm_flags


@dataclass(frozen=True, kw_only=True)
class NodeSet:
    """What the nodes need.

    Attributes:
        context: Deployment context.
        engine: Server.
        count: Number of nodes.
        size: Their size.
        users: Users of the cluster.
        credentials: User name -> credential.
    """

    context: DeploymentContext
    engine: Engine
    count: int
    size: NodeSize
    users: Sequence[SearchUser]
    credentials: Mapping[str, Credential]


def search_cluster(args: NodeSet) -> SearchCluster:
    """The cluster as its configuration sees it."""
    hosts = [args.context.pod_host(WORKLOAD, index) for index in range(args.count)]
    return SearchCluster(
        name=args.context.platform,
        engine=args.engine,
        nodes=tuple(f"{WORKLOAD}-{index}" for index in range(args.count)),
        seeds=tuple(f"{host}:{TRANSPORT_PORT}" for host in hosts),
        publish_host=f"{config.NODE_NAME}.{args.context.host(naming.headless(WORKLOAD))}",
        allow_mmap=args.size.allow_mmap,
        disk_watermarks=args.size.disk_watermarks,
        ciphers=args.size.ciphers,
        collects_before_refusing=args.size.collects_before_refusing,
        config_directory=config.CONFIG_DIRECTORIES[args.engine],
    )


def node_set(parent: pulumi.Resource, args: NodeSet) -> k8s.apps.v1.StatefulSet:
    """Make the pods with their files, certificate, Services and policy."""
    context = args.context
    tls = certificate(parent, context, workload=WORKLOAD)
    headless_service(parent, context, workload=WORKLOAD, ports={"http": HTTP_PORT, "transport": TRANSPORT_PORT})
    cluster_service(parent, context, workload=WORKLOAD, ports={"http": HTTP_PORT})
    _network(parent, args)
    public = config_files(parent, context, name=WORKLOAD, workload=WORKLOAD, files=files(args))
    volumes = [
        Volume(name="directory"),
        Volume(name="config", files=public),
        Volume(name="security", files=_security(parent, args)),
        Volume(name="probe", files=_probe_secret(parent, args)),
        Volume(name="certificate", files=certificate_files(tls.secret_name)),
    ]
    return stateful_set(
        parent,
        context,
        Workload(
            name=WORKLOAD,
            replicas=args.count,
            containers=[_container(args)],
            volumes=volumes,
            tls=tls,
            grace_s=args.size.grace_s,
        ),
        claims=[StorageClaim(name="data", size=args.size.storage)],
        timeout="20m",
    )


def certificate_files(secret: pulumi.Input[str]) -> FileSet:
    """A certificate as a volume, for a program that reads it in a folder of its own choice."""
    name = pulumi.Output.from_input(secret)
    return FileSet(kind="Secret", name=name, checksum=name.apply(lambda _: "renewed-in-place"))


def files(args: NodeSet) -> dict[str, str]:
    """The public files: settings, logging, the readiness probe."""
    contents = {
        config.settings_file(args.engine): config.rendered(config.node_settings(search_cluster(args))),
        "log4j2.properties": log_configuration(args.users if args.engine is Engine.OPENSEARCH else ()),
        pods.SCRIPT: pods.script(),
    }
    if args.engine is Engine.ELASTICSEARCH:
        return contents | {"jvm.options": jvm_options(args.size.heap, args.size.jvm_flags)}
    return contents | {
        "copies_started.py": copies_script(),
        "probe.json": probe_settings(
            user=access.PROBE,
            password_file=f"{_SECRETS}/password",
            ca_file=f"{TLS_MOUNT}/ca.crt",
            patience_s=_PATIENCE_S,
        ),
    }


def hashes(credentials: Mapping[str, Credential]) -> pulumi.Output[dict[str, str]]:
    """User name -> bcrypt hash."""
    bcrypt_hashes: pulumi.Output[dict[str, str]] = pulumi.Output.all(
        **{name: credential.bcrypt for name, credential in credentials.items()}
    )
    return bcrypt_hashes


def _security(parent: pulumi.Resource, args: NodeSet) -> FileSet:
    """Users and roles; a Secret, since they hold the hashes of passwords."""
    opensearch = args.engine is Engine.OPENSEARCH
    content = access.security_files if opensearch else access.elasticsearch_files
    known = hashes(args.credentials)

    def text(name: str) -> pulumi.Output[str]:
        return known.apply(lambda hashes: _text(content(args.users, hashes)[name]))

    names = content(args.users, dict.fromkeys(args.credentials, ""))
    name = f"{WORKLOAD}-security"
    return secret_files(parent, args.context, name=name, workload=WORKLOAD, files={name: text(name) for name in names})


def _text(content: Any) -> str:
    return content if isinstance(content, str) else config.rendered(content)


def _probe_secret(parent: pulumi.Resource, args: NodeSet) -> FileSet:
    """Password of the readiness probe."""
    password = args.credentials[access.PROBE].password
    curl = password.apply(lambda text: f'user = "{access.PROBE}:{text}"\n')
    content = {"password": password} if args.engine is Engine.OPENSEARCH else {"curl": curl}
    return secret_files(parent, args.context, name=f"{WORKLOAD}-probe", workload=WORKLOAD, files=content)


def _network(parent: pulumi.Resource, args: NodeSet) -> None:
    """Clients reach the API, nodes reach each other."""
    transport = Allow(peers=[workload_pods(WORKLOAD)], ports=[TRANSPORT_PORT])
    network_policy(
        parent,
        args.context,
        workload=WORKLOAD,
        ingress=[Allow(peers=[with_access(naming.access_label(WORKLOAD))], ports=[HTTP_PORT]), transport],
        egress=[transport],
    )


def _container(args: NodeSet) -> Container:
    """The server. It is ready once its copies are back, so that a roll takes one node after the other."""
    engine, directory = args.engine, config.CONFIG_DIRECTORIES[args.engine]
    ca_file = f"{TLS_MOUNT}/ca.crt"
    return Container(
        name=CONTAINER,
        image=engine.value,
        command=server_command(engine, args.size.heap, args.size.jvm_flags),
        resources=args.size.resources,
        ports={"http": HTTP_PORT, "transport": TRANSPORT_PORT},
        env=environment(engine),
        env_fields={"NODE_NAME": "metadata.name"},
        mounts=_mounts(engine, directory),
        startup=pods.startup_probe(HTTP_PORT, args.size.storage),
        readiness=pods.readiness_probe(
            HTTP_PORT,
            _FILES,
            probe_command(engine, files=_FILES, secrets=_SECRETS, ca_file=ca_file),
            _QUESTION_S,
        ),
        liveness=Probe(tcp=HTTP_PORT, period_s=20, failures=6),
        pre_stop_sleep_s=3,
    )


def _mounts(engine: Engine, directory: str) -> list[Mount]:
    """A folder that the server may write its key store to, and in it the files that it only reads."""
    single = [config.settings_file(engine), "log4j2.properties"]
    mounts = [
        Mount(volume="directory", path=directory, writable=True),
        Mount(volume="certificate", path=f"{directory}/tls"),
        Mount(volume="config", path=_FILES),
        Mount(volume="probe", path=_SECRETS),
        Mount(volume="data", path=DATA_DIRECTORY, writable=True),
    ]
    if engine is Engine.OPENSEARCH:
        mounts.append(Mount(volume="security", path=f"{directory}/{_SECURITY}"))
    else:
        single.append("jvm.options")
        roles = access.elasticsearch_files([], {})
        mounts += [Mount(volume="security", path=f"{directory}/{name}", sub_path=name) for name in roles]
    return mounts + [Mount(volume="config", path=f"{directory}/{name}", sub_path=name) for name in single]
