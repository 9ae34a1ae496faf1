"""The Kafka connection of the provider plugin: made on first use, and as impatient as the vendor's plugin.

The vendor's plugin (Mongey's Terraform provider behind ``pulumi-kafka``) makes its client once. When that fails, every
later operation of the run fails with the same error, and what a broker refuses is not tried again. So whoever uses it
must see that the brokers answer before it is used; ``components/kafka/wait_for_brokers.py`` does.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Final, TypeVar

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from kafka.errors import KafkaError as QuotaError

from lab.pulumi_host.provider import Properties, ProviderError, Unknown
from services.runtime import kafka

T = TypeVar("T")

_MECHANISMS: Final = {"plain": "PLAIN", "scram-sha256": "SCRAM-SHA-256", "scram-sha512": "SCRAM-SHA-512"}
_DEFAULT_TIMEOUT_S: Final = 120
_REQUEST_S: Final = 30
"""Seconds that brokers get for one request."""
_DIAL_S: Final = 30.0
"""Seconds for one TCP connection, at most."""
_STEP_S: Final = 0.5
_LOGIN = frozenset({KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError._SSL})
_AWAY = frozenset({KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT, KafkaError._RESOLVE})
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


def check_settings(settings: Properties) -> None:
    """Look at what is known of the settings already, as the vendor's plugin does before anything is made.

    Raises:
        ProviderError: A setting is not supported, or is not what it may be.
    """
    strange = sorted(settings.keys() - _SETTINGS)
    if strange:
        raise ProviderError(
            f"kafka provider: {strange[0]} is not supported by the lab's plugin; allowed: "
            f"{', '.join(sorted(_SETTINGS))}"
        )
    mechanism = settings.get("saslMechanism", "plain")
    if not isinstance(mechanism, Unknown) and mechanism not in _MECHANISMS:
        raise ProviderError(f"kafka provider: saslMechanism is {mechanism}; allowed here: {', '.join(_MECHANISMS)}")


def client_configuration(settings: Properties) -> tuple[dict[str, Any], float]:
    """Translate the provider's settings to librdkafka's, and return them with the timeout in seconds.

    Raises:
        ProviderError: A setting is unknown yet, not supported here, or contradicts another.
    """
    check_settings(settings)
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
        configuration |= {
            "sasl.mechanism": _MECHANISMS[str(settings.get("saslMechanism", "plain"))],
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


def quota_client(settings: Properties) -> Any:
    """Make the client for quotas, of which librdkafka knows nothing.

    Raises:
        ProviderError: It is not supported with these settings.
        QuotaError: The brokers do not answer, or refuse the login.
    """
    if settings.get("saslMechanism") != "scram-sha512" or not settings.get("caCert"):
        raise ProviderError("quotas are supported by the lab's plugin with caCert and saslMechanism scram-sha512 only")
    return kafka.admin(
        bootstrap=",".join(_decoded(settings["bootstrapServers"])),
        ca=str(settings["caCert"]),
        username=str(settings["saslUsername"]),
        password=str(settings["saslPassword"]),
        client_id="pulumi",
        request_s=_REQUEST_S,
    )


def dial(configuration: Mapping[str, Any], timeout_s: float) -> None:
    """Open and close one TCP connection to the first bootstrap server that takes one.

    Raises:
        OSError: None of them does; the reason of the last one.
    """
    problem = OSError("no bootstrap server")
    for address in str(configuration["bootstrap.servers"]).split(","):
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=min(_DIAL_S, timeout_s)).close()
        except (OSError, ValueError) as error:
            problem = OSError(f"{address}: {getattr(error, 'strerror', None) or error}")
        else:
            return
    raise problem


class Brokers:
    """An administrator's connection to a cluster, made once per configuration; a failure to make it is final."""

    def __init__(
        self,
        stopping: threading.Event,
        connect: Callable[..., Any] = AdminClient,
        dial: Callable[[Mapping[str, Any], float], None] = dial,
        connect_quotas: Callable[[Properties], Any] = quota_client,
    ) -> None:
        """Wait no longer once ``stopping`` is set.

        Args:
            stopping: Set when the engine cancels.
            connect: Makes the client from librdkafka's settings.
            dial: Tries the addresses; raises OSError where no broker takes a connection.
            connect_quotas: Makes the client for quotas from the provider's settings.
        """
        self._stopping = stopping
        self._connect, self._dial, self._connect_quotas = connect, dial, connect_quotas
        self._lock, self._quota_lock = threading.Lock(), threading.Lock()
        self._quotas: Any = None
        self._settings: Properties = {}
        self._client: Any = None
        self._failure = ""
        self._timeout_s = float(_DEFAULT_TIMEOUT_S)
        self._last_error: KafkaError | None = None

    def configure(self, settings: Properties) -> None:
        """Take settings; nothing is connected until an operation needs it.

        Raises:
            ProviderError: One is not supported, or is not what it may be.
        """
        check_settings(settings)
        with self._lock:
            self._settings, self._client, self._failure = settings, None, ""
        with self._quota_lock:
            self._end_quotas()

    def _admin(self) -> Any:
        with self._lock:
            if self._failure:
                raise ProviderError(self._failure)
            if self._client is None:
                configuration, self._timeout_s = client_configuration(self._settings)
                try:
                    self._client = self._first(configuration)
                except ProviderError as error:
                    self._failure = str(error)
                    raise
            return self._client

    def _first(self, configuration: dict[str, Any]) -> Any:
        """Make the client and ask the brokers one question."""
        servers = configuration["bootstrap.servers"]
        self._last_error = None
        try:
            self._dial(configuration, self._timeout_s)
            client = self._connect({**configuration, "error_cb": self._note})
            self._greet(client)
        except OSError as error:
            raise ProviderError(_unreachable(servers, str(error), login=False)) from None
        except KafkaException as error:
            noted = self._last_error
            login = error.args[0].code() in _LOGIN or (noted is not None and noted.code() in _LOGIN)
            reason = _text(error)
            reason = f"{reason} ({noted.str()})" if noted is not None and noted.str() not in reason else reason
            raise ProviderError(_unreachable(servers, reason, login=login)) from None
        return client

    def _greet(self, client: Any) -> None:
        """Ask for metadata; a refused login and brokers that are all away end it, a slow answer may take its time."""
        deadline = time.monotonic() + self._timeout_s
        while True:
            try:
                client.list_topics(timeout=_STEP_S)
            except KafkaException as error:
                client.poll(0)
                noted = self._last_error
                final = noted is not None and (noted.code() in _LOGIN or noted.code() == KafkaError._ALL_BROKERS_DOWN)
                slow = error.args[0].code() in _AWAY and not final
                if not slow or time.monotonic() > deadline or self._stopping.is_set():
                    raise
            else:
                return

    def _note(self, error: KafkaError) -> None:
        # A refused login is told once, and later only that nobody answers.
        if self._last_error is None or self._last_error.code() not in _LOGIN:
            self._last_error = error

    def call(self, purpose: str, action: Callable[[Any], T], accept: Mapping[int, T] | None = None) -> T:
        """Do something with the brokers, once.

        Args:
            purpose: What is being done, for messages.
            action: What to do, given the client.
            accept: Error codes that are a good answer, and the result they stand for.

        Raises:
            ProviderError: The brokers cannot be reached or refuse.
        """
        good = accept or {}
        try:
            return action(self._admin())
        except KafkaException as error:
            code = error.args[0].code()
            if code in good:
                return good[code]
            raise ProviderError(f"kafka: {purpose}: {_text(error)}") from None
        except TimeoutError:
            raise ProviderError(f"kafka: {purpose}: no answer within {_REQUEST_S} s") from None
        except ProviderError as error:
            raise ProviderError(f"kafka: {purpose}: {error}") from None

    def ask_quotas(self, purpose: str, action: Callable[[Any], T]) -> T:
        """Do something about quotas, once, as `call` does.

        Raises:
            ProviderError: The brokers cannot be reached or refuse.
        """

        def ask(_: Any) -> T:
            with self._quota_lock:
                try:
                    self._quotas = self._quotas or self._connect_quotas(self._settings)
                    return action(self._quotas)
                except QuotaError as error:
                    self._end_quotas()
                    raise ProviderError(str(error.args[0]) if error.args else type(error).__name__) from None

        return self.call(purpose, ask)

    def _end_quotas(self) -> None:
        """Close the client, which keeps what it knew of brokers that do not answer any more."""
        if self._quotas is not None:
            self._quotas.close()
        self._quotas = None

    def until(
        self,
        purpose: str,
        ready: Callable[[Any], bool],
        call: Callable[[str, Callable[[Any], bool]], bool] | None = None,
    ) -> None:
        """Wait until the brokers show a state, up to the timeout.

        Args:
            purpose: What is being done, for messages.
            ready: Whether they show it.
            call: Asks them; default: `call`.

        Raises:
            ProviderError: They do not in time.
        """
        deadline = time.monotonic() + self._timeout_s
        while not (call or self.call)(purpose, ready):
            if time.monotonic() > deadline:
                raise ProviderError(f"kafka: {purpose}: not seen within {self._timeout_s:.0f} s")
            if self._stopping.wait(_STEP_S / 2):
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


def _unreachable(servers: str, reason: str, *, login: bool) -> str:
    if login:
        remedy = "check caCert, saslUsername, saslPassword and saslMechanism of the provider against the brokers"
    else:
        remedy = "check bootstrapServers, and that the brokers run and can be reached from here"
    return f"cannot connect to {servers}: {reason}. The provider does not try again in this run: {remedy}"


REQUEST_S: Final = _REQUEST_S
