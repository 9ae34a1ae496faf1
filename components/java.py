"""Java processes: how those of Kafka's distribution are started, logged and measured, as data."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

LIBRARIES = "/opt/kafka/libs"
ARGUMENTS = "/opt/kafka/java.args"
"""Of the image: its class path, and where it keeps the archived classes of that path, without which Java starts too."""
AGENT = f"{LIBRARIES}/jmx_prometheus_javaagent-1.0.1.jar"
"""Serves JMX attributes as Prometheus metrics."""
PLAIN_STORES = "-Dkeystore.pkcs12.keyPbeIterationCount=1"
"""What a server reads from PEM files goes into stores in its own memory, which Java would encrypt by 10,000 rounds
each: a quarter of the processor time in which a broker starts."""
KEYSTORE_ALIAS = "1"
"""Java's name for the only, unnamed entry of a PKCS#12 file."""


def command(
    *, heap: str, flags: Sequence[str], log_file: str, metrics: str, main: Sequence[str], properties: Sequence[str] = ()
) -> list[str]:
    """Start a program with its metrics agent.

    Args:
        heap: Java heap, for example ``320m``.
        flags: Garbage collector and compiler flags.
        log_file: Log4j2 configuration.
        metrics: ``port:file`` of the metrics agent.
        main: Main class and its arguments.
        properties: System properties of the program, as ``-Dname=value``.
    """
    return [
        "java",
        f"-Xms{heap}",
        f"-Xmx{heap}",
        *flags,
        "-XX:+ExitOnOutOfMemoryError",
        "-Djava.awt.headless=true",
        PLAIN_STORES,
        "-Dsun.net.inetaddr.ttl=5",
        "-Dsun.net.inetaddr.negative.ttl=1",
        f"-Dlog4j2.configurationFile={log_file}",
        *properties,
        f"-javaagent:{AGENT}={metrics}",
        f"@{ARGUMENTS}",
        *main,
    ]


def log_configuration(levels: Mapping[str, str]) -> str:
    """Log4j2 to standard output, one line per event, whatever a client makes a server write.

    Args:
        levels: Logger -> its level, where that is not ``info``.
    """
    configuration: dict[str, Any] = {
        "Configuration": {
            "status": "warn",
            "Appenders": {
                "Console": {
                    "name": "stdout",
                    "target": "SYSTEM_OUT",
                    "PatternLayout": {"pattern": "%d{yyyy-MM-dd'T'HH:mm:ss.SSSXXX} %p %c %enc{%m}{CRLF}%n"},
                }
            },
            "Loggers": {
                "Root": {"level": "info", "AppenderRef": {"ref": "stdout"}},
                "Logger": [{"name": name, "level": level} for name, level in levels.items()],
            },
        }
    }
    return yaml.safe_dump(configuration, sort_keys=True)


def jmx_exporter(
    *,
    user: str,
    password: str,
    keystore: str,
    keystore_password: str,
    objects: Sequence[str],
    rules: Sequence[Mapping[str, Any]],
) -> str:
    """Configuration of the metrics agent: HTTPS with a password of its own (requirement P2).

    Args:
        user: Scrape user.
        password: Its password; only a salted hash of it is kept in the file.
        keystore: PKCS#12 file of the process.
        keystore_password: Opens it.
        objects: JMX objects that are read.
        rules: Names and labels of metrics; the first pattern that fits an attribute wins.
    """
    salt, hashed = _salted(user, password)
    configuration: dict[str, Any] = {
        "httpServer": {
            "authentication": {
                "basic": {
                    "username": user,
                    "algorithm": "SHA-256",
                    "salt": salt,
                    "passwordHash": hashed,
                }
            },
            "ssl": {
                "keyStore": {"filename": keystore, "password": keystore_password},
                "certificate": {"alias": KEYSTORE_ALIAS},
            },
        },
        "lowercaseOutputName": True,
        "includeObjectNames": list(objects),
        "rules": [dict(rule) for rule in rules],
    }
    return yaml.safe_dump(configuration, sort_keys=True)


def _salted(user: str, password: str) -> tuple[str, str]:
    """Salt and hash of a password. The agent drops leading zeros of what it computes (it writes it as a number), and
    compares texts: with every sixteenth hash it would refuse the right password.
    """
    salt = user
    while True:
        salt = hashlib.sha256(salt.encode()).hexdigest()[:16]
        hashed = hashlib.sha256(f"{salt}:{password}".encode()).hexdigest()
        if not hashed.startswith("0"):
            return salt, hashed
