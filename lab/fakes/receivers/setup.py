"""The fakes as a part of the lab: their files, their process, and the secrets that the stack gets from them.

Secrets are made once for a lab and kept in one file that its owner alone can read.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import string
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lab import LabError, private_file
from lab.cluster import network
from lab.cluster.network import RECEIVERS, RECEIVERS_HTTPS_PORT, RECEIVERS_SMTP_PORT, Daemon, fingerprint, wait_until
from lab.fakes.receivers import certificates
from lab.fakes.receivers.client import Receivers
from lab.fakes.receivers.phone import KEY_LENGTH
from lab.fakes.receivers.server import GRACE_S
from lab.fakes.receivers.settings import (
    CERTIFICATES,
    CODE,
    CONFIG,
    CONTACTS,
    DNS_RECORDS,
    DNS_SECRETS,
    DNS_ZONE,
    RECORD,
    SECRETS,
    STACK_FILE,
    URL,
    folder,
    gateway_of,
    topics_of,
)
from lab.paths import CHECKOUT, LabPaths

MAIL_USER = "alerts"
READER = "reader"
_UPPER = string.ascii_uppercase + string.digits
_AWS_KEY_TAIL, _AWS_SECRET = 16, 40
_READY_LIMIT_S = 30
_SOURCES = ("lab/fakes/receivers/*.py", "services/runtime/*.py")


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
    return private_file.load(Secrets, file, "the receivers")


def load_or_make(file: Path) -> Secrets:
    """Read the secrets, and make them where there are none.

    Raises:
        LabError: The file is there and not whole.
    """
    return private_file.load_or_make(Secrets, file, "the receivers")


def load_dns(file: Path) -> DnsSecrets:
    """Read the secrets of the zone.

    Raises:
        LabError: The file is not there or not whole.
    """
    return private_file.load(DnsSecrets, file, "the zone of names")


def load_or_make_dns(file: Path) -> DnsSecrets:
    """Read the secrets of the zone, and make them where there are none.

    Raises:
        LabError: The file is there and not whole.
    """
    return private_file.load_or_make(DnsSecrets, file, "the zone of names")


def daemon(paths: LabPaths) -> Daemon:
    """The process, inside the lab's network namespace."""
    command = [sys.executable, "-m", "lab.fakes.receivers", "--config", str(folder(paths) / CONFIG)]
    return Daemon("receivers", [*network.enter(paths.netns), *command], paths.state, {"PYTHONPATH": str(CHECKOUT)})


def prepare(paths: LabPaths) -> None:
    """Make the files that are missing, and end a process that runs other code or settings than the present ones."""
    place = folder(paths)
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    certificates.create(place / CERTIFICATES, RECEIVERS)
    load_or_make(place / SECRETS)
    load_or_make_dns(place / DNS_SECRETS)
    config = {
        "host": RECEIVERS,
        "https_port": RECEIVERS_HTTPS_PORT,
        "smtp_port": RECEIVERS_SMTP_PORT,
        "cert_file": str(place / CERTIFICATES / certificates.CERTIFICATE),
        "key_file": str(place / CERTIFICATES / certificates.KEY),
        "secrets_file": str(place / SECRETS),
        "record_file": str(place / RECORD),
        "topics": list(topics_of(STACK_FILE)),
        "grace_s": GRACE_S,
        "dns_secrets_file": str(place / DNS_SECRETS),
        "dns_records_file": str(place / DNS_RECORDS),
        "dns_zone": DNS_ZONE,
        "dns_names": {f"otlp.{DNS_ZONE}": gateway_of(STACK_FILE)},
    }
    text = json.dumps(config, indent=1) + "\n"
    (place / CONFIG).write_text(text)
    present, mark = fingerprint(text, _SOURCES), place / CODE
    if not mark.exists() or mark.read_text() != present:
        daemon(paths).stop()
        mark.write_text(present)


def wait_ready(paths: LabPaths) -> None:
    """Wait until the fakes answer; works inside the lab's network namespace.

    Raises:
        LabError: They ended, or do not answer in time; the message carries the end of their log.
    """
    process, receivers = daemon(paths), Receivers.of_lab(paths)

    def alive_and_answering() -> bool:
        if process.pid() is None:
            raise LabError(f"receivers ended; log {process.log}:\n{process.tail()}")
        return receivers.answers()

    wait_until(f"the receivers to answer (log {process.log})", alive_and_answering, timeout_s=_READY_LIMIT_S)


def alerting_secrets(paths: LabPaths) -> dict[str, Any]:
    """What the stack needs to reach the fakes: the value of the secret ``observability:alertingSecrets``.

    Raises:
        LabError: The fakes' files are not there: no lab.
    """
    place = folder(paths)
    secrets = load(place / SECRETS)
    return {
        "phone_keys": secrets.phone_keys,
        "slack_urls": {name: f"{URL}/services/{token}" for name, token in secrets.slack_tokens.items()},
        "mail_password": secrets.mail_password,
        "sms_access_key_id": secrets.aws_key,
        "sms_secret_access_key": secrets.aws_secret,
        "heartbeat_url": f"{URL}/heartbeat/{secrets.heartbeat_token}",
        "authority": (place / CERTIFICATES / certificates.AUTHORITY).read_text(),
    }


def dns_variables(paths: LabPaths) -> dict[str, str]:
    """Environment in which ``ops`` reaches the zone; empty where there is no lab.

    Raises:
        LabError: The file of its keys is not whole.
    """
    place = folder(paths)
    if not (place / DNS_SECRETS).exists():
        return {}
    secrets = load_dns(place / DNS_SECRETS)
    return {
        "OBS_DNS_ACCESS_KEY_ID": secrets.key,
        "OBS_DNS_SECRET_ACCESS_KEY": secrets.secret,
        "OBS_DNS_CA_FILE": str(place / CERTIFICATES / certificates.AUTHORITY),
    }
