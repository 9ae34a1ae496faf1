"""Gives Kafka the administrator's password that the stack's outputs have (docs/secrets.md).

Brokers learn the first one when they format an empty volume; from then on it is in Kafka's own metadata. Who only has
a new one cannot sign in to change it. So Kafka's own tool does it inside a broker's pod, with the certificate by which
brokers know each other: no key leaves the cluster, and no file is written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from components import java
from components.kafka.config import BROKERS, CONFIG_DIRECTORY, INTERNAL_PORT
from ops.core.errors import OpsError
from ops.core.kube import wait_until
from ops.core.platform import Platform
from ops.core.terminal import say
from ops.kafka.sign_in import Answer, sign_in_everywhere

CONTAINER: Final = BROKERS
"""Container of a broker's server, in a pod of the workload of the same name."""
TOOL_S: Final = 120.0
"""Longest run of Kafka's tool, whose own limits are 40 s: a busy broker has little for it to start with."""
LIMIT_S: Final = 60.0
"""Longest time until every broker that answers has read the new password."""
_SCRIPT: Final = f"""\
set -euo pipefail
IFS= read -r password
access=$(<{CONFIG_DIRECTORY}/probe-client.properties)
if ! said=$(java -Xmx96m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \\
  -Dlog4j2.configurationFile={CONFIG_DIRECTORY}/log4j2-probe.yaml @{java.ARGUMENTS} \\
  kafka.admin.ConfigCommand --bootstrap-server localhost:{INTERNAL_PORT} \\
  --command-config <(printf '%s\\n' "$access" default.api.timeout.ms=40000 request.timeout.ms=20000) \\
  --alter --entity-type users --entity-name "$1" \\
  --add-config-file <(printf 'SCRAM-SHA-512=password=%s\\n' "$password") 2>&1); then
  printf '%s\\n' "${{said%%$'\\n\\tat '*}}" >&2
  exit 1
fi
"""
"""Bash: sets the password of the user in ``$1`` to the line of standard input; of an error, no Java stack."""

RunInBroker = Callable[[Sequence[str], str], object]
"""Runs a command with a text as its standard input in a broker's container; raises `OpsError` where it fails."""


def answers(platform: Platform) -> tuple[Answer, ...]:
    """What each broker says at its external address.

    Raises:
        OpsError: None of them answers.
    """
    told = sign_in_everywhere(platform, platform.kafka_admin)
    if all(answer.problem and not answer.refused for answer in told):
        raise OpsError(f"no broker answers, nothing was changed; {told[0].address}: {told[0].problem}")
    return told


def refusing(told: Sequence[Answer]) -> list[str]:
    """Addresses of the brokers that refuse the administrator."""
    return [answer.address for answer in told if answer.refused]


def silent(told: Sequence[Answer]) -> list[str]:
    """Addresses of the brokers that do not answer; they read the password when they are back."""
    return [answer.address for answer in told if answer.problem and not answer.refused]


def change(platform: Platform, run: RunInBroker, limit_s: float = LIMIT_S) -> tuple[Answer, ...]:
    """Set the password in Kafka to that of the outputs, and wait until every broker that answers takes it.

    Args:
        platform: The stack's outputs.
        run: Reaches into a broker.
        limit_s: How long brokers may take to read the change, in seconds.

    Returns:
        What the brokers say then.

    Raises:
        OpsError: The password has characters that Kafka's files cannot carry, the broker does not do it, or brokers
            still refuse it after the limit.
    """
    user, password = platform.kafka_admin.pair
    if not (password.isascii() and password.isalnum()):
        raise OpsError("the password of the output `kafka_admin` has more than letters and digits: replace it")
    say("a broker sets the password, with its own certificate")
    try:
        run(["bash", "-c", _SCRIPT, "bash", user], f"{password}\n")
    except OpsError as error:
        reason = str(error).replace(password, "...")
        raise OpsError(f"Kafka has not confirmed the password, call again, which looks first: {reason}") from None
    last: list[tuple[Answer, ...]] = []

    def taken() -> bool:
        last.append(answers(platform))
        return not refusing(last[-1])

    wait_until(taken, limit_s, "brokers that take the new password")
    return last[-1]
