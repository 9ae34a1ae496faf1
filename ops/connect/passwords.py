"""Gives the layers and the node agents new passwords at the gateway while those of before are taken too (ADR 63).

Clients of the layers are others' programs, so it takes two updates, and as long as they need between them: the first
one lets the gateways take both passwords, the second one ends those of before, once nobody has sent with one for a
while.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from ops.config import generations
from ops.config.generations import Generations
from ops.core import pulumi
from ops.core.errors import OpsError
from ops.core.otlp import OtlpClient
from ops.core.platform import Login
from ops.core.web import Query

_PLACE: Final = ("gateway", "password_generations")
KEY: Final = ".".join(("settings", *_PLACE))
ASKED: Final = 4
"""Connections with each password: each goes to one of the gateways."""
REFUSED: Final = "UNAUTHENTICATED"
_FORMER: Final = 'otelcol_login_former_password_requests_total{job=~"gateway|otel-agent"}'
_TAKEN: Final = "OK"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the passwords become.

    Attributes:
        deployed: Generations that the gateways take now.
        wanted: Those to come; the same where nothing is to be done.
        written: Whether the stack's file has them already: an update was interrupted, or is still to come.
    """

    deployed: Generations
    wanted: Generations
    written: bool


def plan(deployed: Generations, *, finish: bool, stack: str = "") -> Plan:
    """Compare the stack's file with what is deployed.

    Args:
        deployed: As the outputs have them.
        finish: End the passwords of before; otherwise begin to hand out new ones.
        stack: Its name; empty: the selected one.

    Raises:
        OpsError: The file cannot be read, has generations that do not follow those that are deployed, or takes its
            passwords from another stack.
    """
    newest = deployed[0]
    wanted = (newest,) if finish else deployed if len(deployed) > 1 else (newest + 1, newest)
    return Plan(deployed=deployed, wanted=wanted, written=generations.check(KEY, _written(stack), deployed, wanted))


def apply(chosen: Plan, stack: str = "") -> None:
    """Write the generations into the stack's file, and bring the stack up with the policy pack.

    Raises:
        OpsError: Pulumi fails.
    """
    if not chosen.written:
        pulumi.set_generations(_PLACE, chosen.wanted, stack)
    pulumi.up(stack, preview=True)


def answers(otlp: OtlpClient, logins: Mapping[str, Login]) -> dict[str, str]:
    """Layer -> what the gateways answer to its password, ``OK`` where all of them take it.

    Where they do not agree, the answers are separated by a comma.
    """
    empty = ExportMetricsServiceRequest()
    return {
        layer: ", ".join(sorted({otlp.grpc_code(empty, login) for _ in range(ASKED)}))
        for layer, login in logins.items()
    }


def unlike(said: Mapping[str, str], expected: str) -> list[str]:
    """Layers whose password is answered otherwise, with the answer."""
    return [f"{layer}: {answer}" for layer, answer in said.items() if answer != expected]


def check_taken(otlp: OtlpClient, logins: Mapping[str, Login], *, former: bool = False) -> None:
    """Ask the gateways.

    Raises:
        OpsError: They do not take a password.
    """
    if wrong := unlike(answers(otlp, logins), _TAKEN):
        which = "a password of before" if former else "a new password"
        raise OpsError(f"not every gateway takes {which}: {'; '.join(wrong)}")


def check_refused(otlp: OtlpClient, logins: Mapping[str, Login]) -> None:
    """Ask the gateways.

    Raises:
        OpsError: They take a password that has ended.
    """
    if wrong := unlike(answers(otlp, logins), REFUSED):
        raise OpsError(f"a password of before is not refused by every gateway: {'; '.join(wrong)}")


def senders(metrics: Query, quiet_s: int) -> dict[str, int]:
    """User -> requests with its former password within the last seconds, of those that sent one.

    Raises:
        OpsError: Prometheus does not answer, or has not counted them for as long.
    """
    if not metrics.number(f"count({_FORMER} offset {quiet_s}s)"):
        raise OpsError(
            f"requests with a former password have not been counted for {quiet_s} s yet: call again later, or give a "
            "smaller --quiet"
        )
    counted = metrics.instant(f"sum by (layer) (increase({_FORMER}[{quiet_s}s])) > 0")
    return {sample.labels.get("layer", ""): max(1, round(sample.value)) for sample in counted}


def _written(stack: str) -> Generations:
    settings = generations.settings(stack)
    elsewhere = (settings.get("regions") or {}).get("credentials")
    if elsewhere:
        raise OpsError(
            f"the passwords are those of the stack {elsewhere}: rotate there, write the same {KEY} here, and bring "
            "this stack up before clients get new ones"
        )
    return generations.written(settings, *_PLACE)
