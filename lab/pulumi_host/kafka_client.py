"""The Kafka connection of the provider plugin: made on first use, patient with brokers that move, never for ever."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Final, TypeVar

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from lab.pulumi_host.provider import ProviderError, say
from lab.pulumi_host.values import Properties, Unknown

T = TypeVar("T")

_MECHANISMS: Final = {"plain": "PLAIN", "scram-sha256": "SCRAM-SHA-256", "scram-sha512": "SCRAM-SHA-512"}
_DEFAULT_TIMEOUT_S: Final = 120
_REQUEST_S: Final = 5
_RETRY_S: Final = 1.0
# Right after a format or a password change a broker may not know the user yet; later it is simply a wrong password.
_LOGIN_LIMIT_S: Final = 20.0
_LOGIN = frozenset({KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError._SSL})
TRANSIENT = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TIMED_OUT,
        KafkaError._RESOLVE,
        KafkaError._WAIT_COORD,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.NOT_CONTROLLER,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.NOT_COORDINATOR,
        # Brokers that are still registering: the controller counts too few of them.
        KafkaError.INVALID_REPLICATION_FACTOR,
        *_LOGIN,
    }
)
_SETTINGS: Final = {
    "bootstrapServers", "caCert", "caCertFile", "clientCert", "clientCertFile", "clientKey", "clientKeyFile",
    "clientKeyPassphrase", "kafkaVersion", "saslMechanism", "saslPassword", "saslUsername", "skipTlsVerify", "timeout",
    "tlsEnabled", "version", "pluginDownloadURL",
}  # fmt: skip


def _decoded(value: Any) -> Any:
    """Return a configuration value as what it is: the SDK hands lists, numbers and booleans over as JSON text."""
    if isinstance(value, str) and value[:1] in ("[", "t", "f", *"0123456789"):
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value
    return value


def client_configuration(settings: Properties) -> tuple[dict[str, Any], float]:
    """Translate the provider's settings to librdkafka's, and return them with the timeout in seconds.

    Raises:
        ProviderError: A setting is unknown yet, not supported here, or contradicts another.
    """
    strange = sorted(settings.keys() - _SETTINGS)
    if strange:
        raise ProviderError(
            f"kafka provider: {strange[0]} is not supported by the lab's plugin; allowed: "
            f"{', '.join(sorted(_SETTINGS))}"
        )
    waiting = sorted(key for key, value in settings.items() if isinstance(value, Unknown))
    if waiting:
        raise ProviderError(f"kafka provider: {', '.join(waiting)} not known yet, so the brokers cannot be asked")
    servers = _decoded(settings.get("bootstrapServers"))
    if not isinstance(servers, list) or not servers:
        raise ProviderError('kafka provider: bootstrapServers must be a list of "host:port" with at least one entry')
    configuration: dict[str, Any] = {"bootstrap.servers": ",".join(servers), "client.id": "pulumi", "log_level": 0}
    encrypted = _decoded(settings.get("tlsEnabled", True)) is True
    user = settings.get("saslUsername")
    if user:
        mechanism = str(settings.get("saslMechanism", "plain"))
        if mechanism not in _MECHANISMS:
            raise ProviderError(f"kafka provider: saslMechanism is {mechanism}; allowed here: {', '.join(_MECHANISMS)}")
        configuration |= {
            "sasl.mechanism": _MECHANISMS[mechanism],
            "sasl.username": user,
            "sasl.password": settings.get("saslPassword", ""),
        }
    configuration["security.protocol"] = ("sasl_" if user else "") + ("ssl" if encrypted else "plaintext")
    if encrypted:
        texts = {"caCert": "ssl.ca.pem", "clientCert": "ssl.certificate.pem", "clientKey": "ssl.key.pem"}
        files = {
            "caCertFile": "ssl.ca.location",
            "clientCertFile": "ssl.certificate.location",
            "clientKeyFile": "ssl.key.location",
        }
        rest = {"clientKeyPassphrase": "ssl.key.password"}
        configuration |= {
            target: settings[key] for key, target in {**texts, **files, **rest}.items() if settings.get(key)
        }
        if _decoded(settings.get("skipTlsVerify", False)) is True:
            configuration |= {
                "enable.ssl.certificate.verification": False,
                "ssl.endpoint.identification.algorithm": "none",
            }
    return configuration, float(_decoded(settings.get("timeout", _DEFAULT_TIMEOUT_S)))


class Brokers:
    """An administrator's connection to a cluster."""

    def __init__(self, stopping: threading.Event, connect: Callable[..., Any] = AdminClient) -> None:
        """Wait no longer once ``stopping`` is set; ``connect`` makes the client from librdkafka settings."""
        self._stopping = stopping
        self._connect = connect
        self._lock = threading.Lock()
        self._settings: Properties = {}
        self._client: Any = None
        self._timeout_s = float(_DEFAULT_TIMEOUT_S)
        self._last_error: KafkaError | None = None
        self._refused = ""

    def configure(self, settings: Properties) -> None:
        """Take settings; nothing is connected until an operation needs it."""
        with self._lock:
            self._settings, self._client = settings, None

    def _admin(self) -> Any:
        with self._lock:
            if self._client is None:
                configuration, self._timeout_s = client_configuration(self._settings)
                try:
                    self._client = self._connect({**configuration, "error_cb": self._note})
                except KafkaException as error:
                    raise ProviderError(f"kafka provider: the settings do not make a client: {_text(error)}") from None
            return self._client

    def _note(self, error: KafkaError) -> None:
        self._last_error = error
        if error.code() in _LOGIN:
            self._refused = error.str()

    def call(
        self,
        purpose: str,
        action: Callable[[Any], T],
        accept: Mapping[int, T] | None = None,
        accept_after_retry: Mapping[int, T] | None = None,
    ) -> T:
        """Do something with the brokers, trying again while they are merely not ready, up to the timeout.

        Args:
            purpose: What is being done, for messages.
            action: What to do, given the client.
            accept: Error codes that are a good answer, and the result they stand for.
            accept_after_retry: Likewise, but only when an earlier attempt may have been carried out unseen.

        Raises:
            ProviderError: The brokers refuse, or are not ready in time.
        """
        admin = self._admin()
        started = time.monotonic()
        good, told = dict(accept or {}), ""
        self._refused = ""
        while True:
            try:
                return action(admin)
            except KafkaException as error:
                code, reason = error.args[0].code(), _text(error)
                if code in good:
                    return good[code]
                admin.poll(0)
                behind = self._last_error if code in TRANSIENT else None
                login = code in _LOGIN or (behind is not None and behind.code() in _LOGIN)
                reason = f"{reason} ({behind.str()})" if behind is not None and behind.str() not in reason else reason
                if code in _LOGIN:
                    self._refused = reason
                limit = min(_LOGIN_LIMIT_S, self._timeout_s) if login else self._timeout_s
                if code not in TRANSIENT:
                    raise ProviderError(f"kafka: {purpose}: {reason}") from None
                if time.monotonic() - started + _RETRY_S > limit:
                    # librdkafka tells of a refused login once, and later only that nobody answers.
                    before = f"; before that: {self._refused}" if self._refused and not login else ""
                    remedy = _remedy(login or bool(before))
                    raise ProviderError(f"kafka: {purpose}: {reason}{before}; waited {limit:.0f} s. {remedy}") from None
                if reason != told:
                    say(f"kafka: {purpose}: waiting for the brokers, up to {limit:.0f} s: {reason}")
                    told = reason
                good |= accept_after_retry or {}
            self._last_error = None
            if self._stopping.wait(_RETRY_S):
                raise ProviderError(f"kafka: {purpose}: cancelled")

    def until(self, purpose: str, ready: Callable[[Any], bool]) -> None:
        """Wait until the brokers show a state, up to the timeout.

        Raises:
            ProviderError: They do not in time.
        """
        deadline = time.monotonic() + self._timeout_s
        while not self.call(purpose, ready):
            if time.monotonic() > deadline:
                raise ProviderError(f"kafka: {purpose}: not seen within {self._timeout_s:.0f} s")
            if self._stopping.wait(_RETRY_S / 4):
                raise ProviderError(f"kafka: {purpose}: cancelled")


def result(future: Future[T]) -> T:
    """Return what the brokers answer, waiting a little longer than one request may take."""
    return future.result(timeout=_REQUEST_S + 5)


def only(futures: Mapping[Any, Future[T]]) -> T:
    """Return the answer to a request about one thing."""
    (future,) = futures.values()
    return result(future)


def _text(error: KafkaException) -> str:
    return str(error.args[0].str())


def _remedy(login: bool) -> str:
    if login:
        return "Check caCert, saslUsername, saslPassword and saslMechanism of the provider against the brokers"
    return "Check bootstrapServers, and that the brokers run and can be reached from here"


REQUEST_S: Final = _REQUEST_S
