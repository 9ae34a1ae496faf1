"""The container that runs a collector, and the password files that it checks its clients against."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import bcrypt
import pulumi

from components import naming
from components.collector.config import HEALTH_PORT, METRICS_PORT
from components.contracts import Credential
from components.k8s import Container, Mount, Probe, Resources

_COST = 4
"""The usual cost of 10 takes 64 times the processor time for each wrong password, and for each scrape, which nothing
remembers. It slows the guessing of weak passwords down; ours are 32 random characters, which nobody guesses at any
cost."""


def htpasswd(passwords: Mapping[str, str], former: Mapping[str, str] = MappingProxyType({})) -> str:
    """An htpasswd file.

    The salt follows from user and password, so that the same input gives the same file (and no roll of the pods).

    Args:
        passwords: User name -> password.
        former: User name -> a second password that is taken as well, which comes after the user's other one; only the
            extension ``login`` knows what that means.
    """
    return "".join(
        f"{user}:{_hash(user, password)}\n" for group in (passwords, former) for user, password in sorted(group.items())
    )


def client_file(users: Iterable[Credential], former: Iterable[Credential] = ()) -> pulumi.Output[str]:
    """The htpasswd file of users, and of the passwords that some of them had before."""
    given, before = ({user.username: user.password for user in group} for group in (users, former))
    return pulumi.Output.all(given, before).apply(lambda both: htpasswd(*both))


def _hash(user: str, password: str) -> str:
    salt = hashlib.sha256(f"htpasswd\0{user}\0{password}".encode()).digest()[:16]
    encoded = base64.b64encode(salt).decode().rstrip("=")
    standard = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    own = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    return bcrypt.hashpw(
        password.encode(), f"$2b${_COST:02d}${encoded.translate(str.maketrans(standard, own))}".encode()
    ).decode()


def memory_settings(resources: Resources) -> dict[str, str]:
    """Environment of a Go program that allocates much and keeps little: it collects at four times what it keeps, and
    more often as the memory limit comes near."""
    return {"GOGC": "300", **naming.heap_limit(resources.memory_limit)}


def collector_container(
    resources: Resources,
    *,
    ports: Mapping[str, int] | None = None,
    mounts: Sequence[Mount] = (),
    pre_stop_sleep_s: int | None = None,
    pre_stop_port: int | None = None,
) -> Container:
    """A collector with its configuration in volume ``config`` and its passwords in volume ``auth``.

    Args:
        resources: Requests and limits; the garbage collector works harder as the memory limit comes near.
        ports: Further ports.
        mounts: Further volumes.
        pre_stop_sleep_s: Seconds for load balancers to stop sending before the collector is told to end.
        pre_stop_port: Or the port of its extension that says when it may end.
    """
    return Container(
        name="otelcol",
        image="otelcol",
        command=["/otelcol", "--config=/etc/otelcol/config.yaml"],
        resources=resources,
        ports={**(ports or {}), naming.METRICS_PORT: METRICS_PORT, "health": HEALTH_PORT},
        env=memory_settings(resources),
        mounts=[
            Mount(volume="config", path="/etc/otelcol"),
            Mount(volume="auth", path="/etc/otelcol-auth"),
            *mounts,
        ],
        startup=Probe(http="/", port=HEALTH_PORT, https=True, period_s=2, failures=60),
        liveness=Probe(http="/", port=HEALTH_PORT, https=True, period_s=10, failures=6),
        readiness=Probe(http="/", port=HEALTH_PORT, https=True, period_s=5, failures=2),
        pre_stop_sleep_s=pre_stop_sleep_s,
        pre_stop_port=pre_stop_port,
    )
