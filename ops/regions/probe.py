"""A numbered point through the gateway to the read address: telemetry goes all the way."""

from __future__ import annotations

import socket
import ssl
import time
from urllib.parse import urlsplit

from components.telemetry.layers import LAYERS
from ops.core import otlp
from ops.core.errors import OpsError, one_line
from ops.core.kube import wait_until
from ops.regions.region import Region

METRIC = "obs_failover_probe"
SEEN_S = 30.0
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


def probe(region: Region, host: str = "", seen_s: float = SEEN_S) -> float:
    """Send a numbered point and wait until a query finds it; seconds from the answer to the find.

    Args:
        region: The region.
        host: Address of the gateway; the stack's own if empty.
        seen_s: How long it may take.

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
    return wait_until(lambda: bool(region.metrics.instant(query)), seen_s, what, 0.5)
