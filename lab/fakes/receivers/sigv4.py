"""Checks AWS Signature Version 4 of a request, as AWS does before it looks at anything else."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

_ALGORITHM = "AWS4-HMAC-SHA256"
_HEADER = re.compile(
    rf"{_ALGORITHM} Credential=(?P<key>[^/,\s]+)/(?P<scope>\d{{8}}/[^/,\s]+/[^/,\s]+/aws4_request),\s*"
    r"SignedHeaders=(?P<headers>[^,\s]+),\s*Signature=(?P<signature>[0-9a-f]{64})"
)
_DATE = "%Y%m%dT%H%M%SZ"
_SKEW = timedelta(minutes=15)


@dataclass(frozen=True)
class Refusal:
    """AWS' error code and message."""

    code: str
    message: str


class Signatures:
    """Knows one access key and its secret."""

    def __init__(
        self, key: str, secret: str, *, service: str, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """Take signatures of this key for this service, made within 15 minutes of the clock."""
        self._key, self._secret, self._service, self._clock = key, secret, service, clock

    def refusal(self, environ: WSGIEnvironment, body: bytes) -> Refusal | None:
        """Why a request is refused, or None where it is signed with the right key."""
        header = environ.get("HTTP_AUTHORIZATION", "")
        if not header:
            return Refusal("MissingAuthenticationToken", "Request is missing Authentication Token")
        match = _HEADER.fullmatch(header.strip())
        if match is None:
            return Refusal("IncompleteSignature", "Authorization header is not a Signature Version 4")
        if not hmac.compare_digest(match["key"], self._key):
            return Refusal("InvalidClientTokenId", "The security token included in the request is invalid.")
        date, _, service, _ = match["scope"].split("/")
        moment = environ.get("HTTP_X_AMZ_DATE", "")
        if service != self._service or not moment.startswith(date) or not self._fresh(moment):
            return Refusal("SignatureDoesNotMatch", f"Signature is for another time or service: {match['scope']}")
        text = "\n".join((_ALGORITHM, moment, match["scope"], _sha256(_canonical(environ, body, match["headers"]))))
        key = f"AWS4{self._secret}".encode()
        for part in match["scope"].split("/"):
            key = _hmac(key, part)
        if not hmac.compare_digest(_hmac(key, text).hex(), match["signature"]):
            return Refusal(
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided.",
            )
        return None

    def _fresh(self, moment: str) -> bool:
        try:
            signed = datetime.strptime(moment, _DATE).replace(tzinfo=UTC)
        except ValueError:
            return False
        return abs(self._clock() - signed) <= _SKEW


def _canonical(environ: WSGIEnvironment, body: bytes, signed: str) -> bytes:
    query = sorted(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
    lines = [
        environ["REQUEST_METHOD"],
        quote(environ.get("PATH_INFO") or "/", safe="/-_.~"),
        "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in query),
    ]
    for name in signed.split(";"):
        lines.append(f"{name}:{' '.join(_header(environ, name).split())}")
    return "\n".join([*lines, "", signed, _sha256(body)]).encode()


def _header(environ: WSGIEnvironment, name: str) -> str:
    variable = name.upper().replace("-", "_")
    plain = variable in ("CONTENT_TYPE", "CONTENT_LENGTH")
    return str(environ.get(variable if plain else f"HTTP_{variable}", ""))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
