"""Clients of the platform's servers, connected on first use; any server may be down."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel, SecretStr

from ops.core import platform as platform_module
from ops.core.alertmanager import Alertmanager, client_of
from ops.core.errors import OpsError
from ops.core.kafka import KafkaAdmin
from ops.core.kube import Kube
from ops.core.metrics import Metrics
from ops.core.platform import Platform
from ops.core.tunnel import Tunnels
from ops.core.web import Web
from ops.telemetry.logs import SEARCH, SEARCH_PORT
from ops.telemetry.traces import fetch_token

T = TypeVar("T")


class Lazy(Generic[T]):
    """Something that is made when it is first asked for; when that fails, it fails for everybody in the same way."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: list[T] = []
        self._problem = ""

    def get(self) -> T:
        """The value.

        Raises:
            OpsError: It could not be made, now or before.
        """
        with self._lock:
            if self._problem:
                raise OpsError(self._problem)
            if not self._made:
                try:
                    self._made.append(self._make())
                except OpsError as error:
                    self._problem = str(error)
                    raise
            return self._made[0]

    def existing(self) -> T | None:
        """The value, if it was made already."""
        return self._made[0] if self._made else None


class Clients:
    """Clients of one platform, made one by one; all may be used from several threads.

    Args:
        load: Reads what the platform tells about itself; by default from the selected stack.
        connect: Connects with the Kubernetes of a namespace; by default with ``KUBECONFIG``.
    """

    def __init__(
        self, load: Callable[[], Platform] | None = None, connect: Callable[[str], Kube] | None = None
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="obs-incident-")
        self._platform = Lazy(load or platform_module.load)
        self._web = Lazy(self._make_web)
        self._kube = Lazy(lambda: (connect or Kube.connect)(self.platform.namespace))
        self._tunnels = Lazy(lambda: Tunnels(self.platform.namespace))
        self._token = Lazy(lambda: fetch_token(self.web, self.platform))

    @property
    def platform(self) -> Platform:
        """What the platform tells about itself."""
        return self._platform.get()

    @property
    def web(self) -> Web:
        """A session that trusts the platform."""
        return self._web.get()

    @property
    def kube(self) -> Kube:
        """Kubernetes."""
        return self._kube.get()

    @property
    def metrics(self) -> Metrics:
        """The one read address over both Prometheus."""
        return Metrics(self.web, self.platform.query_url, self.platform.query_reader.pair, "Thanos Query")

    @property
    def alertmanager(self) -> Alertmanager:
        """Alertmanager, as its operator.

        Raises:
            OpsError: The stack has none.
        """
        return client_of(self.platform, self.web)

    @property
    def kafka(self) -> KafkaAdmin:
        """Kafka."""
        return KafkaAdmin(self.platform)

    @property
    def token(self) -> str:
        """The tool's own token for reading traces."""
        return self._token.get()

    @property
    def logs_url(self) -> str:
        """Address of a search node, through a tunnel."""
        return self._tunnels.get().url(self.kube.ready_pod(SEARCH).name, SEARCH_PORT)

    def secrets(self) -> frozenset[str]:
        """Every password that the platform told; nothing when it told nothing."""
        platform = self._platform.existing()
        return frozenset() if platform is None else frozenset(_secrets(platform))

    def close(self) -> None:
        """Close connections and tunnels."""
        for client in (self._tunnels.existing(), self._web.existing(), self._kube.existing()):
            if client is not None:
                client.close()
        self._folder.cleanup()

    def _make_web(self) -> Web:
        path = Path(self._folder.name) / "ca.pem"
        path.write_text(self.platform.ca_certificate)
        return Web(str(path))


_SHORTEST_SECRET = 8


def _secrets(value: object) -> set[str]:
    """All secret values inside a model; very short ones would hit innocent words."""
    if isinstance(value, SecretStr):
        text = value.get_secret_value()
        return {text} if len(text) >= _SHORTEST_SECRET else set()
    if isinstance(value, BaseModel):
        return _secrets([getattr(value, name) for name in type(value).model_fields])
    if isinstance(value, Mapping):
        return _secrets(list(value.values()))
    if isinstance(value, list | tuple):
        return set().union(*(_secrets(nested) for nested in value))
    return set()
