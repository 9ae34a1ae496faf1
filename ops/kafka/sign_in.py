"""Whether brokers take a login."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException

from ops.core.errors import one_line
from ops.core.kafka import ADMIN, client_settings
from ops.core.platform import Login, Platform

_ASK_S: Final = 10.0
_ONE_TRY_S: Final = 1.0
_LOGIN: Final = frozenset({KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED})


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a broker says to a login.

    Attributes:
        address: Its ``host:port``.
        problem: Why the login is not signed in; empty: is.
        refused: The broker answers, and does not take user and password.
    """

    address: str
    problem: str = ""
    refused: bool = False


def sign_in_everywhere(platform: Platform, login: Login) -> tuple[Answer, ...]:
    """What each broker says to a login, at its external address."""
    return tuple(sign_in(platform, login, address) for address in platform.kafka_bootstrap.split(","))


def sign_in(platform: Platform, login: Login, address: str) -> Answer:
    """What the broker at an address says to a login; one that does not answer is asked again for ten seconds."""
    said: list[KafkaError] = []
    settings: dict[str, Any] = {
        **client_settings(platform, login),
        "bootstrap.servers": address,
        "error_cb": said.append,
        # Brokers count refusals, and tell of many (KafkaLoginsFail).
        "reconnect.backoff.ms": 1000,
    }
    client = ADMIN.AdminClient(settings)
    deadline = time.monotonic() + _ASK_S
    while True:
        try:
            client.list_topics(timeout=_ONE_TRY_S)
        except KafkaException as error:
            # What went wrong before is told by a callback, which this serves.
            client.poll(0.1)
            login_error = next((reported for reported in said if reported.code() in _LOGIN), None)
            if login_error is not None:
                return Answer(address=address, problem=one_line(login_error.str()), refused=True)
            if time.monotonic() > deadline:
                return Answer(address=address, problem=one_line((said[-1] if said else error.args[0]).str()))
        else:
            return Answer(address=address)
