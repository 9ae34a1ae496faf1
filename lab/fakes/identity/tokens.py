"""Signed tokens, and the key that they are checked with."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey

ALGORITHM = "ES256"


class TokenMaker:
    """Signs tokens with a key that exists only in this process."""

    def __init__(self, issuer: str, life_s: int) -> None:
        self._issuer, self.life_s = issuer, life_s
        key = ECKey.generate_key("P-256", private=True)
        self._key_id = key.thumbprint()
        self._key = key

    def make(self, subject: str, audiences: Sequence[str], claims: Mapping[str, Any]) -> str:
        """A token about ``subject`` for ``audiences``."""
        now = int(time.time())
        body = {
            **claims,
            "iss": self._issuer,
            "sub": subject,
            "aud": list(audiences) if len(audiences) > 1 else audiences[0],
            "iat": now,
            "exp": now + self.life_s,
            "jti": str(uuid.uuid4()),
        }
        return jwt.encode({"alg": ALGORITHM, "kid": self._key_id, "typ": "JWT"}, body, self._key)

    def keys(self) -> dict[str, Any]:
        """The public key set."""
        public = self._key.as_dict(private=False)
        return {"keys": [{**public, "kid": self._key_id, "use": "sig", "alg": ALGORITHM}]}
