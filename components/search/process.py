"""How a search node is started, logs, and is asked whether it has started: commands and files as data."""

from __future__ import annotations

import json
from pathlib import Path

from components.search.config import CONFIG_DIRECTORIES, HTTP_PORT, Engine

OPENSEARCH_HOME = "/opt/opensearch"
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
    flags = (f"-Xms{heap}", f"-Xmx{heap}", *jvm_flags, "-XX:+ExitOnOutOfMemoryError", "-Djava.io.tmpdir=/tmp")
    return "".join(f"{flag}\n" for flag in flags)


def _half(heap: str) -> str:
    """Half of a size such as ``384m`` or ``4g``."""
    number, unit = int(heap[:-1]), heap[-1].lower()
    megabytes = number * {"m": 1, "g": 1024}[unit]
    return f"{megabytes // 2}m"


def log_configuration() -> str:
    """Log4j2 to standard output, one line per event; requests and bodies are not logged."""
    properties = {
        "status": "error",
        "appender.console.type": "Console",
        "appender.console.name": "console",
        "appender.console.layout.type": "PatternLayout",
        "appender.console.layout.pattern": "%d{ISO8601} %p %c{1.} [%node_name]%marker %m%n",
        "rootLogger.level": "info",
        "rootLogger.appenderRef.console.ref": "console",
    }
    for number, name in enumerate(_QUIET):
        properties |= {f"logger.quiet{number}.name": name, f"logger.quiet{number}.level": "error"}
    return "".join(f"{key} = {value}\n" for key, value in properties.items())


def startup_probe_script() -> str:
    """The startup probe's program; it runs in the pod, with nothing but Python's own library."""
    return Path(__file__).with_name("startup_probe.py").read_text()


def probe_settings(*, user: str, password_file: str, ca_file: str, patience_s: int) -> str:
    """Settings of the startup probe.

    Args:
        user: May see the cluster's state.
        password_file: Its password.
        ca_file: The authority's certificate.
        patience_s: Seconds after which a node that does what it can counts as started in a cluster that is not green.
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
    """Ask a node whether it has started. Elasticsearch's image has curl and no Python; there, only green counts.

    Args:
        engine: Server.
        files: Folder of the probe's program and settings.
        secrets: Folder of its password.
        ca_file: The authority's certificate.
    """
    if engine is Engine.OPENSEARCH:
        return ("python3", f"{files}/startup_probe.py", f"{files}/probe.json")
    url = f"https://localhost:{HTTP_PORT}/_cluster/health?wait_for_status=green&timeout=20s"
    return ("curl", "-sS", "-o", "/dev/null", "--fail", "--cacert", ca_file, "-K", f"{secrets}/curl", url)
