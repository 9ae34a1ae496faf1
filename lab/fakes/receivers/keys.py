"""The secrets of the fakes: made once for a lab, kept in one file that its owner alone can read."""

from __future__ import annotations

import hashlib
import secrets
import string
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lab import key_files
from lab.fakes.receivers.phone import KEY_LENGTH
from lab.fakes.receivers.settings import CONTACTS

MAIL_USER = "alerts"
READER = "reader"
_UPPER = string.ascii_uppercase + string.digits
_AWS_KEY_TAIL, _AWS_SECRET = 16, 40


def _slack_token() -> str:
    team, hook = ("".join(secrets.choice(_UPPER) for _ in range(9)) for _ in range(2))
    return f"T{team}/B{hook}/{secrets.token_hex(12)}"


def aws_key() -> str:
    """A key id as AWS makes them."""
    return "AKIA" + "".join(secrets.choice(_UPPER) for _ in range(_AWS_KEY_TAIL))


def aws_secret() -> str:
    """A secret access key as AWS makes them."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(_AWS_SECRET))


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """Everything that opens a fake.

    Attributes:
        phone_keys: Contact -> routing key of the pager.
        slack_token: What the webhooks of `slack_tokens` are made of.
        mail_password: Of `MAIL_USER`.
        aws_key: Access key id that may publish on the SNS topics.
        aws_secret: Its secret.
        heartbeat_token: What stands behind ``/heartbeat/`` in the switch's URL.
        reader_password: Of `READER`, who may read the record.
    """

    phone_keys: dict[str, str] = field(
        default_factory=lambda: {name: secrets.token_hex(KEY_LENGTH // 2) for name in CONTACTS}
    )
    slack_token: str = field(default_factory=_slack_token)
    mail_password: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    aws_key: str = field(default_factory=aws_key)
    aws_secret: str = field(default_factory=aws_secret)
    heartbeat_token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    reader_password: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    @property
    def slack_tokens(self) -> dict[str, str]:
        """Contact -> what stands behind ``/services/`` in the URL of its webhook, which no other one is like."""
        team, _, _ = self.slack_token.partition("/")
        digests = {name: hashlib.sha256(f"{self.slack_token} {name}".encode()).hexdigest() for name in CONTACTS}
        return {name: f"{team}/B{digest[:9].upper()}/{digest[-24:]}" for name, digest in digests.items()}

    def all(self) -> list[str]:
        """Every secret text, for those who must not show any."""
        rest = [value for value in asdict(self).values() if isinstance(value, str)]
        hooks = [*self.slack_tokens.values(), self.slack_token]
        return [*self.phone_keys.values(), *rest, *hooks, *(hook.rpartition("/")[2] for hook in hooks)]


@dataclass(frozen=True, kw_only=True)
class DnsSecrets:
    """What opens the zone of names; in a file of its own, since older labs have none.

    Attributes:
        key: Access key id that may read the zone and change its records.
        secret: Its secret.
    """

    key: str = field(default_factory=aws_key)
    secret: str = field(default_factory=aws_secret)


def load(file: Path) -> Secrets:
    """Read the secrets.

    Raises:
        LabError: The file is not there or not whole.
    """
    return key_files.load(Secrets, file, "the receivers")


def load_or_make(file: Path) -> Secrets:
    """Read the secrets, and make them where there are none.

    Raises:
        LabError: The file is there and not whole.
    """
    return key_files.load_or_make(Secrets, file, "the receivers")


def load_dns(file: Path) -> DnsSecrets:
    """Read the secrets of the zone.

    Raises:
        LabError: The file is not there or not whole.
    """
    return key_files.load(DnsSecrets, file, "the zone of names")


def load_or_make_dns(file: Path) -> DnsSecrets:
    """Read the secrets of the zone, and make them where there are none.

    Raises:
        LabError: The file is there and not whole.
    """
    return key_files.load_or_make(DnsSecrets, file, "the zone of names")
