"""Settings of the Grafana provider, as the SDK hands them over, and what the plugin makes of them."""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from lab.pulumi_host.provider import ProviderError
from lab.pulumi_host.values import Properties, Unknown

_RETRIES: Final = 30
_RETRY_WAIT_S: Final = 2
_LIBRARY: Final = frozenset({"version", "pluginDownloadURL"})
_SETTINGS: Final = frozenset({"url", "auth", "caCert", "orgId", "retries", "retryWait", "insecureSkipVerify"})


@dataclass(frozen=True, kw_only=True)
class Connection:
    """How Grafana is reached.

    Attributes:
        url: Root of the server, without a slash at the end.
        login: User and password.
        trust: Who may vouch for the server.
        retries: How often a request is repeated while Grafana is away.
        retry_wait_s: Seconds between two attempts.
    """

    url: str
    login: tuple[str, str]
    trust: ssl.SSLContext
    retries: int
    retry_wait_s: int


def check(settings: Properties) -> None:
    """Refuse settings that are wrong whatever the ones are that a preview does not know yet.

    Raises:
        ProviderError: Names the setting, what is allowed and what to do; never the password.
    """
    strange = sorted(settings.keys() - _SETTINGS - _LIBRARY)
    if strange:
        raise _refusal(strange[0], f"is not supported by the lab's plugin; allowed: {', '.join(sorted(_SETTINGS))}")
    known = {key: value for key, value in settings.items() if not isinstance(value, Unknown)}
    if _decoded(known.get("insecureSkipVerify", False)) is not False:
        raise _refusal("insecureSkipVerify", "is refused: give the certificate's authority in caCert instead")
    if _decoded(known.get("orgId", 1)) != 1:
        raise _refusal("orgId", "must be 1, the main organization, or left out")
    if "url" in known and not _is_root(str(known["url"])):
        raise _refusal("url", f'is {known["url"]}; it must be like "https://grafana.example.com:3000"')
    if "auth" in known and not all(str(known["auth"]).partition(":")):
        raise _refusal("auth", 'must be like "user:password"; tokens are not supported by the lab\'s plugin')
    if "caCert" in known:
        _trust(str(known["caCert"]))
    _number(known, "retries", _RETRIES)
    _number(known, "retryWait", _RETRY_WAIT_S)


def connection(settings: Properties) -> Connection:
    """Translate settings that are all known.

    Raises:
        ProviderError: One is wrong, missing, or not known yet.
    """
    check(settings)
    waiting = sorted(key for key, value in settings.items() if isinstance(value, Unknown))
    if waiting:
        raise ProviderError(f"grafana provider: {', '.join(waiting)} not known yet, so Grafana cannot be asked")
    for key in ("url", "auth"):
        if key not in settings:
            raise _refusal(key, "is required")
    user, _, password = str(settings["auth"]).partition(":")
    return Connection(
        url=str(settings["url"]).rstrip("/"),
        login=(user, password),
        trust=_trust(str(settings.get("caCert", ""))),
        retries=_number(settings, "retries", _RETRIES),
        retry_wait_s=_number(settings, "retryWait", _RETRY_WAIT_S),
    )


def _refusal(key: str, reason: str) -> ProviderError:
    return ProviderError(f"grafana provider: {key} {reason}")


def _decoded(value: Any) -> Any:
    """Return a number or truth value as what it is: the SDK hands those over as JSON text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value


def _number(settings: Properties, key: str, default: int) -> int:
    value = _decoded(settings.get(key, default))
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise _refusal(key, f"is {value}; it must be a whole number of at least 0")
    return value


def _is_root(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    bare = not (parts.query or parts.fragment or parts.username or parts.password)
    return parts.scheme == "https" and bool(parts.hostname) and port != 0 and bare


def _trust(authority: str) -> ssl.SSLContext:
    """Trust only that authority, a file's path or the certificate itself; without one, those of the machine."""
    if not authority:
        return ssl.create_default_context()
    try:
        text = authority if "-----BEGIN" in authority else Path(authority).read_text()
        return ssl.create_default_context(cadata=text)
    except (OSError, ValueError) as error:
        kind = type(error).__name__
        raise _refusal(
            "caCert", f"is neither a file with PEM certificates nor PEM certificates themselves ({kind})"
        ) from None
