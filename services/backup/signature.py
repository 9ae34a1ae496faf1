"""Who vouches for a run: the seal of the job that made it, and the signature without which nothing is restored.

A seal is made with a key of one kind, which the job of that kind has (HMAC-SHA-256): it says that a job of this
platform made the manifest, and not somebody else who may write to the bucket. The backup exporter, and nobody else, has
the key that signs (Ed25519): it signs a manifest that has its seal, and that the storage got when it says it was made.
Restores know the public key.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable
from datetime import datetime, timedelta

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from services.backup import BackupError

FOLDER = "signatures/"
SEAL = "seal"
"""Metadata of a manifest: its seal, in hexadecimal."""
MOST_BYTES = 1024
"""A signature is never larger."""
SIGNED_WITHIN = timedelta(minutes=15)
"""How long a run may wait for its signature: many times as long as the backup exporter takes."""
STORED_WITHIN = timedelta(minutes=10)
"""How far the end of a run may be from when the storage got its manifest: clocks, and tries that were repeated."""
LONGEST_RUN = timedelta(hours=3)
"""No run takes longer: jobs have two hours."""
_SEALED, _SIGNED = b"obs backup seal 1\n", b"obs backup signature 1\n"


def object_key(kind: str, run: str) -> str:
    """Key of a run's signature below the bucket's prefix."""
    return f"{FOLDER}{kind}/{run}"


def seal(key: str, content: bytes) -> str:
    """The seal of a manifest.

    Args:
        key: Key of its kind.
        content: The manifest as it is stored.
    """
    return hmac.new(key.encode(), _SEALED + content, hashlib.sha256).hexdigest()


def sealed(key: str, content: bytes, given: str) -> bool:
    """Whether a seal is that of a manifest."""
    return hmac.compare_digest(seal(key, content).encode(), given.encode())


def late(started: datetime, finished: datetime, written: datetime) -> str:
    """Why a run was not made when its manifest says so; empty where nothing speaks against it.

    The storage tells when it got a manifest, and nobody who may write can choose that: so no run is made up, or
    replaced, for a time that is over for longer than a run takes.

    Args:
        started: When it began, by its name.
        finished: When it says that it was finished.
        written: When the storage got it.
    """
    if abs(written - finished) > STORED_WITHIN:
        return f"it says that it was finished at {_shown(finished)} and was stored at {_shown(written)}"
    if finished - started > LONGEST_RUN:
        return f"it says that it began at {_shown(started)} and was finished at {_shown(finished)}"
    return ""


def _shown(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def private_key(text: str) -> Ed25519PrivateKey:
    """The key that signs.

    Args:
        text: The secret from whose digest it is made.
    """
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(text.encode()).digest())


def public_key(key: Ed25519PrivateKey) -> str:
    """The public half, in base64."""
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def sign(key: Ed25519PrivateKey, content: bytes) -> bytes:
    """The signature of a manifest as it is stored beside it: the same each time, so that two may store it."""
    return base64.b64encode(key.sign(_SIGNED + content)) + b"\n"


def is_signed(public_keys: Iterable[str], content: bytes, given: bytes) -> bool:
    """Whether a signature is that of a manifest, by one of these keys.

    Args:
        public_keys: In base64.
        content: The manifest as it is stored.
        given: What is stored as its signature.

    Raises:
        BackupError: One is no public key.
    """
    try:
        raw = base64.b64decode(given.strip(), validate=True)
    except ValueError:
        return False
    for text in public_keys:
        try:
            key = Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
        except ValueError:
            raise BackupError(f"{text!r} is no public key that signs backups: it must be 32 bytes in base64") from None
        try:
            key.verify(raw, _SIGNED + content)
        except InvalidSignature:
            continue
        return True
    return False
