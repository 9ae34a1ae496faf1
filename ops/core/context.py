"""Everything that a check may use, made once per run and closed at its end."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from components.shards import server_names
from ops.core.alertmanager import Alertmanager, client_of
from ops.core.kafka import KafkaAdmin
from ops.core.kube import Kube
from ops.core.otlp import OtlpClient
from ops.core.platform import Platform
from ops.core.tunnel import Tunnels
from ops.core.web import Query, ShardedQuery, Web

PROMETHEUS_PORT = 9090
ALERTMANAGER_PORT = 9093


class Context:
    """Clients of one platform; all of them may be used from several threads."""

    def __init__(self, platform: Platform, kube: Kube) -> None:
        self.platform = platform
        self.kube = kube
        self.tunnels = Tunnels(platform.namespace, kube.context)
        self._folder = tempfile.TemporaryDirectory(prefix="obs-ops-")
        path = Path(self._folder.name) / "ca.pem"
        path.write_text(platform.ca_certificate)
        self.ca_file = str(path)
        self.web = Web(self.ca_file, self._server)
        self.otlp = OtlpClient(platform, self.web)
        self.kafka = KafkaAdmin(platform)
        self.thanos = Query(self.web, lambda: platform.query_url, platform.query_reader.pair, "Thanos Query")

    def _server(self, url: str) -> str:
        """Name of the server at a URL: one of the stack's addresses, or the pod at the end of a tunnel."""
        at = urlsplit(url).netloc
        platform = self.platform
        known = {
            platform.otlp_http: "the gateway",
            platform.query_url: "Thanos Query",
            platform.alertmanager_url: "Alertmanager",
            platform.grafana_url: "Grafana",
            **{query: f"the Jaeger query {name}" for name, query in platform.trace_query_urls.items()},
            **({platform.trace_login.issuer: "the identity provider"} if platform.trace_login else {}),
        }
        names = {urlsplit(base).netloc: name for base, name in known.items() if base}
        return names.get(at) or self.tunnels.what(urlsplit(url).port or 0)

    def prometheus_url(self, server: str) -> str:
        """Base URL of one Prometheus, through a tunnel to its pod."""
        return self.tunnels.url(self.kube.ready_pod(f"prometheus-{server}").name, PROMETHEUS_PORT)

    def prometheus(self, server: str) -> Query:
        """Query API of one Prometheus."""
        reader = self.platform.prometheus_credentials[server]
        return Query(self.web, lambda: self.prometheus_url(server), reader.pair, f"prometheus-{server}", 3)

    def replica(self, replica: str) -> Query:
        """What all servers of a replica have together."""
        servers = server_names([replica], self.platform.prometheus_shards)
        if len(servers) == 1:
            return self.prometheus(replica)
        return ShardedQuery([self.prometheus(server) for server in servers], f"prometheus-{replica}")

    def alertmanager(self, member: str | None = None) -> Alertmanager:
        """Alertmanager's API at its common address, or through a tunnel to one member.

        Raises:
            OpsError: The stack has none.
        """
        url = self.tunnels.url(member, ALERTMANAGER_PORT) if member else ""
        return client_of(self.platform, self.web, url)

    def close(self) -> None:
        """Close connections, end tunnels, remove the CA file."""
        self.tunnels.close()
        self.kafka.close()
        self.web.close()
        self.kube.close()
        self._folder.cleanup()

    def __enter__(self) -> Context:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def reached(platform: Platform) -> Context:
    """Clients of a platform; with newer outputs, those with the passwords that it has now."""
    return Context(platform, Kube.of(platform))
