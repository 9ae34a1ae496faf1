"""The fakes on ``localhost`` for tests, with every secret set, as the lab's daemon has them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.fakes.receivers.__main__ import application
from lab.fakes.receivers.channels import DeadMansSwitch, MailFake
from lab.fakes.receivers.record import Record
from lab.fakes.receivers.settings import CONTACTS, MAIL_USER, READER, TOPICS, Secrets
from services.runtime.https import HttpsServer
from tests.config.pki import write_certificates
from tests.config.servers import free_port

TOPIC = TOPICS[CONTACTS.index("operators")]


@dataclass
class Fakes:
    """What a sender and a reader need."""

    folder: Path
    secrets: Secrets
    record: Record
    base: str
    mail_port: int

    @property
    def ca(self) -> str:
        """File of the authority."""
        return str(self.folder / "ca.crt")


@contextmanager
def fakes(folder: Path) -> Iterator[Fakes]:
    """All fakes, until the block ends."""
    write_certificates(folder)
    secrets = Secrets()
    record = Record(folder / "notifications.jsonl", hidden=secrets.all())
    certificate = (folder / "tls.crt", folder / "tls.key")
    web = application(
        record,
        contacts={key: contact for contact, key in secrets.phone_keys.items()},
        slack_webhooks={token: contact for contact, token in secrets.slack_tokens.items()},
        heartbeat_token=secrets.heartbeat_token,
        aws=(secrets.aws_key, secrets.aws_secret),
        reader=(READER, secrets.reader_password),
        switch=DeadMansSwitch(record, 60),
    )
    server = HttpsServer("127.0.0.1", 0, *certificate, web)
    port = free_port()
    mail = MailFake(
        record, host="127.0.0.1", port=port, certificate=certificate, login=(MAIL_USER, secrets.mail_password)
    )
    server.start()
    mail.start()
    try:
        yield Fakes(folder, secrets, record, f"https://localhost:{server.server_port}", port)
    finally:
        mail.stop()
        server.stop()
