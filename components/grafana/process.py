"""How Grafana runs: command line, folders, files and probes."""

from __future__ import annotations

from components import naming
from components.k8s import Container, Mount, Probe, Resources

WORKLOAD = "grafana"
PORT = 3000
CONFIG_DIRECTORY = "/etc/grafana"
SOURCES_DIRECTORY = f"{CONFIG_DIRECTORY}/provisioning/datasources"
SECRETS_DIRECTORY = "/etc/grafana-secrets"
DATA_DIRECTORY = "/var/lib/grafana/data"
"""Scratch space. Not the image's own ``/var/lib/grafana``, which may hold plugins that the image brings."""
PUBLIC_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
"""Authorities of the image, for servers whose certificate is a public one."""

INI_FILE = "grafana.ini"
LDAP_FILE = "ldap.toml"
SOURCES_FILE = "datasources.yaml"

ADMINISTRATOR_SECRET = "admin"  # noqa: S105  (names of files)
DATABASE_SECRET = "database"  # noqa: S105
DATABASE_AUTHORITY = "database-ca.pem"
KEY_SECRET = "secret-key"  # noqa: S105
METRICS_SECRET = "scrape"  # noqa: S105
DIRECTORY_SECRET = "ldap-bind"  # noqa: S105
DIRECTORY_AUTHORITY = "directory-ca.pem"
OIDC_SECRET = "oidc-client"  # noqa: S105
OIDC_AUTHORITY = "oidc-ca.pem"

_HOME = "/usr/share/grafana"


def from_file(name: str) -> str:
    """How Grafana's files name a secret, which is in a file of that name."""
    return f"$__file{{{SECRETS_DIRECTORY}/{name}}}"


def grafana_command() -> list[str]:
    """Program and arguments; the image's own entrypoint is a script that does other things before."""
    return [f"{_HOME}/bin/grafana", "server", f"--homepath={_HOME}", f"--config={CONFIG_DIRECTORY}/{INI_FILE}"]


def grafana_container(resources: Resources, *, directory: bool = True) -> Container:
    """Grafana, with volumes ``config``, ``sources``, ``secrets`` and ``data``.

    Args:
        resources: Requests and limits.
        directory: Whether people are in a directory.

    It listens only when the database has its tables, so the first start may take minutes. ``/healthz`` says that the
    process answers, ``/api/health`` that its database does too: without the database a replica gets no requests, and
    is not restarted, which would help nobody.
    """
    return Container(
        name=WORKLOAD,
        image="grafana",
        command=grafana_command(),
        resources=resources,
        ports={naming.METRICS_PORT: PORT},
        env={"GF_PATHS_DATA": DATA_DIRECTORY},
        mounts=[
            *(
                Mount(volume="config", path=f"{CONFIG_DIRECTORY}/{name}", sub_path=name)
                for name in (INI_FILE, *((LDAP_FILE,) if directory else ()))
            ),
            Mount(volume="sources", path=SOURCES_DIRECTORY),
            Mount(volume="secrets", path=SECRETS_DIRECTORY),
            Mount(volume="data", path=DATA_DIRECTORY, writable=True),
        ],
        startup=Probe(http="/healthz", port=PORT, https=True, period_s=3, failures=120),
        liveness=Probe(http="/healthz", port=PORT, https=True, period_s=15, failures=4),
        readiness=Probe(http="/api/health", port=PORT, https=True, period_s=5, failures=2),
        pre_stop_sleep_s=5,
    )
