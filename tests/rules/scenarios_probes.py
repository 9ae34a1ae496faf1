"""Scenarios of the alerts about certificates and endpoints."""

from __future__ import annotations

from tests.rules.scenario import Scenario

RENEW_BEFORE = "720h"
_DAY = 86400
_POD = 'job="probe-pods",endpoint="kafka/client",instance="kafka-0",module="tls"'
_SERVICE = 'job="probe-services",endpoint="gateway-http",instance="gateway-http",module="closed"'
_GONE = 'job="probe-pods",endpoint="prometheus-primary-shard-1/grpc",instance="prometheus-primary-shard-1-0"'
_LABELS = {"endpoint": "kafka/client", "instance": "kafka-0"}
_DOOR = {"endpoint": "gateway-http", "instance": "gateway-http"}
_ASKED = f"probe_success{{{_POD}}}"
_UP = 'up{job="%s",endpoint="kafka/client",instance="kafka-0",module="tls"}'
_FIRST_END = f"probe_ssl_earliest_cert_expiry{{{_POD}}}"


def _ends(days: float, *, chain_days: float = 90) -> dict[str, str]:
    return {
        _FIRST_END: f"{90 * _DAY}x9 {int(days * _DAY)}x60",
        f"probe_ssl_last_chain_expiry_timestamp_seconds{{{_POD}}}": f"{90 * _DAY}x9 {int(chain_days * _DAY)}x60",
    }


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        alert="CertificateExpiresSoon",
        bad=_ends(15),
        good=_ends(15.1),
        silent_at="9m30s",
        firing_at="10m15s",
        labels=_LABELS,
    ),
    # The authority itself.
    Scenario(
        alert="CertificateExpiresSoon",
        bad=_ends(80, chain_days=14),
        good=_ends(80, chain_days=16),
        silent_at="9m30s",
        firing_at="10m15s",
        labels=_LABELS,
    ),
    Scenario(
        alert="CertificateEnds",
        bad={**_ends(3), _ASKED: "1x70"},
        good={**_ends(3.1), _ASKED: "1x70"},
        silent_at="5m45s",
        firing_at="6m15s",
        labels=_LABELS,
    ),
    # From its end on no handshake shows it: the alert goes on.
    Scenario(
        alert="CertificateEnds",
        bad={_FIRST_END: f"{90 * _DAY}x9 600x10 stale", _ASKED: "1x20 0x60"},
        # It was renewed after its end.
        good={_FIRST_END: f"{90 * _DAY}x9 600x1 stale _x3 {90 * _DAY}x60", _ASKED: "1x11 0x3 1x60"},
        silent_at="5m45s",
        firing_at="20m",
        labels=_LABELS,
    ),
    # A pod that is gone is not told of, whatever it showed last.
    Scenario(
        alert="CertificateEnds",
        bad={_FIRST_END: f"{90 * _DAY}x9 600x10 stale", _ASKED: "1x20 0x60"},
        good={_FIRST_END: f"{90 * _DAY}x9 600x10 stale", _ASKED: "1x20 stale"},
        silent_at="5m45s",
        firing_at="10m45s",
        labels=_LABELS,
    ),
    # A Service is asked more often than a pod, so it is known sooner that it is gone.
    Scenario(
        alert="CertificateEnds",
        bad={_FIRST_END.replace(_POD, _SERVICE): f"{90 * _DAY}x9 600x10 stale", f"probe_success{{{_SERVICE}}}": "1x70"},
        good={_FIRST_END.replace(_POD, _SERVICE): f"{90 * _DAY}x9 600x10 stale", f"probe_success{{{_SERVICE}}}": "1x9"},
        silent_at="5m45s",
        firing_at="20m",
        labels=_DOOR,
    ),
    Scenario(
        alert="EndpointUnreachable",
        bad={f"probe_success{{{_SERVICE}}}": "1x9 0x40", f"probe_http_status_code{{{_SERVICE}}}": "401x9 0x40"},
        good={
            f"probe_success{{{_SERVICE}}}": "1x9 0 1x40",
            # An endpoint that was taken away: asked in vain once, and then no more.
            f"probe_success{{{_GONE.replace('pods', 'services')}}}": "1x9 0 _x40",
        },
        silent_at="5m45s",
        firing_at="6m15s",
        labels=_DOOR,
    ),
    # A pod that restarts is not told of.
    Scenario(
        alert="EndpointUnreachable",
        bad={f"probe_success{{{_POD}}}": "1x9 0x40"},
        good={f"probe_success{{{_POD}}}": "1x9 0x7 1x40", f"probe_success{{{_GONE}}}": "1x9 0x3 _x40"},
        silent_at="9m15s",
        firing_at="10m15s",
        labels=_LABELS,
    ),
    # One alert for a door that stands open, not two.
    Scenario(
        alert="EndpointUnreachable",
        bad={f"probe_success{{{_SERVICE}}}": "1x9 0x40", f"probe_http_status_code{{{_SERVICE}}}": "401x9 500x40"},
        good={f"probe_success{{{_SERVICE}}}": "1x9 0x40", f"probe_http_status_code{{{_SERVICE}}}": "401x9 200x40"},
        silent_at="5m45s",
        firing_at="6m15s",
        labels=_DOOR,
    ),
    Scenario(
        alert="EndpointUnauthenticated",
        bad={f"probe_http_status_code{{{_SERVICE}}}": "401x9 200x40"},
        good={
            f"probe_http_status_code{{{_SERVICE}}}": "401x9 503x40",
            f"probe_http_status_code{{{_SERVICE.replace('closed', 'open')}}}": "200x50",
        },
        silent_at="5m15s",
        firing_at="5m45s",
        labels=_DOOR,
    ),
    Scenario(
        alert="ProbesMissing",
        bad={_UP % "probe-pods": "1x9 0x40", _UP % "probe-services": "1x9 0x40"},
        good={_UP % "probe-pods": "1x9 0x4 1x40", _UP % "probe-services": "1x9 0x4 1x40"},
        silent_at="7m45s",
        firing_at="8m15s",
        labels={"job": "probes"},
    ),
    # The Service of the prober is gone, or nothing is left to be looked at.
    Scenario(
        alert="ProbesMissing",
        bad={_UP % "probe-pods": "1x9 stale", _UP % "probe-services": "1x50"},
        good={_UP % "probe-pods": "1x50", _UP % "probe-services": "1x50"},
        silent_at="7m45s",
        firing_at="8m15s",
        labels={"job": "probes"},
    ),
)
