"""One region as an operator's machine reaches it, without Kubernetes, and a numbered point through its gateway to the
read address.
"""

from __future__ import annotations

import socket
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from components.consumers import consumer_name
from components.telemetry.layers import LAYERS
from ops.core import otlp
from ops.core import platform as platform_module
from ops.core.access import Peer, RegionsAccess, WitnessAccess
from ops.core.alertmanager import Alertmanager, client_of
from ops.core.errors import OpsError, one_line
from ops.core.kafka import CAUGHT_UP, GroupLag, KafkaAdmin
from ops.core.kube import wait_until
from ops.core.otlp import OtlpClient
from ops.core.platform import Platform
from ops.core.terminal import say
from ops.core.web import Query, Web, authority_file
from services.regions.witness import ObjectChangedError, RegionError, Witness
from services.regions.witness import UnreadableError as UnreadableRecordError
from services.runtime.settings import Storage

_NO_FILE = Path("/nonexistent")
"""Keys come from the stack's outputs; no file with them is written."""


class Region:
    """Clients of one region.

    Args:
        platform: Outputs of its stack.
        ca_file: PEM of the region's authority.
        stack: Full name of the stack; empty for the selected one.

    Raises:
        OpsError: The stack is of a version without regions.
    """

    def __init__(self, platform: Platform, ca_file: str, stack: str = "") -> None:
        self.platform, self.stack, self.access = platform, stack, _access(platform)
        self.web = Web(ca_file)
        self._kafka: KafkaAdmin | None = None

    @property
    def name(self) -> str:
        """Name of the region."""
        return self.access.region

    @property
    def peer(self) -> Peer:
        """The other region.

        Raises:
            OpsError: There is none.
        """
        if self.access.peer is None:
            raise OpsError(f"{self.name} has no other region: name it in the stack file, regions.peer")
        return self.access.peer

    @property
    def topics(self) -> tuple[str, ...]:
        """Topics that both regions have."""
        return self.access.mirror.topics if self.access.mirror else tuple(self.platform.topics)

    @property
    def kafka(self) -> KafkaAdmin:
        """Kafka's administrator, made when first asked for."""
        if self._kafka is None:
            self._kafka = KafkaAdmin(self.platform)
        return self._kafka

    @property
    def metrics(self) -> Query:
        """The read address of the metrics."""
        login = self.platform.query_reader.pair
        return Query(self.web, lambda: self.platform.query_url, login, f"the read address of {self.name}", 2)

    @property
    def alertmanager(self) -> Alertmanager:
        """Alertmanager, as its operator."""
        return client_of(self.platform, self.web)

    def gateway(self, host: str) -> OtlpClient:
        """The gateway at another address than the one that the stack names."""
        _, _, port = self.platform.otlp_http.rpartition(":")
        shown = f"[{host}]" if ":" in host else host
        return OtlpClient(self.platform.model_copy(update={"otlp_http": f"https://{shown}:{port}"}), self.web)

    def refresh(self) -> None:
        """Read the stack's outputs again, after it was brought up.

        Raises:
            OpsError: They cannot be read, or lack something.
        """
        self.platform = platform_module.load(stack=self.stack)
        self.access, self._kafka = _access(self.platform), None

    def close(self) -> None:
        """Close the connections."""
        self.web.close()


def _access(platform: Platform) -> RegionsAccess:
    if platform.regions is None:
        raise OpsError(
            "the stack has no output `regions`: give it a section `regions`, run `pulumi up --policy-pack policy`"
        )
    return platform.regions


@contextmanager
def opened(stack: str = "", platform: Platform | None = None) -> Iterator[Region]:
    """A region by its stack.

    Args:
        stack: Full name; empty for the selected one.
        platform: Its outputs, if they are known.

    Raises:
        OpsError: The stack's outputs cannot be read, or lack something.
    """
    known = platform or platform_module.load(stack=stack)
    with authority_file(known.ca_certificate) as file:
        region = Region(known, file, stack)
        try:
            yield region
        finally:
            region.close()


@contextmanager
def witness_of(access: RegionsAccess) -> Iterator[Witness]:
    """The witness bucket.

    Raises:
        OpsError: There is none.
    """
    if access.witness is None:
        raise OpsError(
            f"{access.region} stands alone, so there is no failover: name regions.witness and regions.peer in the "
            "stack file"
        )
    with tempfile.TemporaryDirectory(prefix="obs-witness-") as folder:
        yield from _witness(access.witness, Path(folder))


def _witness(access: WitnessAccess, folder: Path) -> Iterator[Witness]:
    authority = folder / "ca.pem" if access.authority else None
    if authority is not None:
        authority.write_text(access.authority or "", encoding="utf-8")
    storage = Storage(
        endpoint=access.endpoint,
        region=access.region,
        bucket=access.bucket,
        prefix="",
        access_key_id_file=_NO_FILE,
        secret_access_key_file=_NO_FILE,
        ca_file=authority,
    )
    login = (access.access_key_id.get_secret_value(), access.secret_access_key.get_secret_value())
    witness = Witness(storage, login=login)
    try:
        yield witness
    finally:
        witness.close()


class UnreadableError(OpsError):
    """What another command or region wrote is nothing that this revision of the program can read."""


class ChangedError(OpsError):
    """Another command has written what was read."""


@contextmanager
def witness_errors() -> Iterator[None]:
    """Turn the witness' errors into those of ``ops``."""
    try:
        yield
    except UnreadableRecordError as error:
        raise UnreadableError(str(error)) from None
    except ObjectChangedError as error:
        raise ChangedError(str(error)) from None
    except RegionError as error:
        raise OpsError(str(error)) from None


METRIC = "obs_failover_probe"
SEEN_S = 30.0
READ_S = 900.0
"""How long consumers may read records that are older than the point; a region that stood by has hours of them."""
_SEND_S = 20.0
_CONNECT_S = 5.0


def handshake(region: Region, host: str = "") -> None:
    """TLS with the region's gateway, verified against the platform's authority.

    Args:
        region: The region.
        host: Its address; the stack's own if empty.

    Raises:
        OpsError: It does not answer, or its certificate is not good.
    """
    parts = urlsplit(region.platform.otlp_http)
    where = (host or parts.hostname or "", parts.port or 443)
    context = ssl.create_default_context(cadata=region.platform.ca_certificate)
    try:
        with (
            socket.create_connection(where, timeout=_CONNECT_S) as line,
            context.wrap_socket(line, server_hostname=where[0]),
        ):
            return
    except OSError as error:
        raise OpsError(f"the gateway at {where[0]}:{where[1]}: {one_line(error)}") from None


def probe(region: Region, host: str = "", tell: Callable[[str], None] = say) -> float:
    """Send a numbered point and wait until a query finds it; seconds from the answer to the find.

    Args:
        region: The region.
        host: Address of the gateway; the stack's own if empty.
        tell: Is told what is waited for, where consumers have older records to read first.

    Raises:
        OpsError: The gateway does not take it, or it is not seen in time.
    """
    layer, number = LAYERS[0].name, time.time_ns() // 1_000_000
    gateway = region.gateway(host or urlsplit(region.platform.otlp_http).hostname or "")
    resource = otlp.resource_of(layer, "ops-failover", "ops-failover")

    def sent() -> bool:
        request = otlp.gauge(resource, METRIC, [(time.time_ns(), float(number), {})])
        status, rejected = gateway.metrics(request, layer)
        if status != 200 or rejected:
            raise OpsError(f"the gateway answered {status}, {rejected} points rejected")
        return True

    wait_until(sent, _SEND_S, f"the gateway of {region.name} to take a point", 1.0)
    query = f"{METRIC} == {number}"
    what = f"point {number} at the read address of {region.name}"
    groups = [consumer_name(replica) for replica in region.platform.prometheus_replicas]
    return wait_for_point(
        lambda: bool(region.metrics.instant(query)), lambda: unread(region.kafka, groups), what, tell=tell
    )


def unread(kafka: GroupLag, groups: Sequence[str]) -> int | None:
    """Records that the group which is furthest has not committed; None while no group has committed anything."""
    lags = [sum(lag.values()) for group in groups if (lag := kafka.lag(group))]
    return min(lags, default=None)


def wait_for_point(
    seen: Callable[[], bool],
    left: Callable[[], int | None],
    what: str,
    *,
    tell: Callable[[str], None],
    seen_s: float = SEEN_S,
    read_s: float = READ_S,
    pause_s: float = 10.0,
) -> float:
    """Wait for a point, longer than usual only while the consumers have older records to read; seconds that it took.

    Args:
        seen: Whether the point is there.
        left: Records that the consumers have not read; None if nobody knows.
        what: Name of the point, for messages.
        tell: Is told how far the consumers are behind.
        seen_s: How long a point may take that nothing stands before.
        read_s: How long consumers may read what does.
        pause_s: Between two looks at how far they are.

    Raises:
        OpsError: It is not seen in time; the message says how many records are unread.
    """
    start = time.monotonic()
    try:
        return wait_until(seen, seen_s, what, 0.5)
    except OpsError as error:
        records = left()
        if records is None or records <= CAUGHT_UP:
            raise OpsError(
                f"{error}; the consumers have {'an unknown number of' if records is None else records} records unread"
            ) from None

    def caught_up() -> bool:
        if seen():
            return True
        records = left()
        tell(f"the consumers have {records} older records to read before {what}, up to {read_s:.0f} s")
        return records is not None and records <= CAUGHT_UP

    wait_until(caught_up, read_s, f"the consumers to have read what is older than {what}", pause_s)
    wait_until(seen, seen_s, what, 0.5)
    return time.monotonic() - start
