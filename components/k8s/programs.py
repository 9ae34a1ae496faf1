"""What the settings of all our Python programs have in common, as their components render it."""

from __future__ import annotations

from pathlib import Path
from typing import Final, TypedDict

from components.k8s.pods import TLS_MOUNT
from services.runtime.settings import Login, Tls

CA_FILE: Final = Path(f"{TLS_MOUNT}/ca.crt")
"""The platform's authority."""


class Served(TypedDict):
    """Fields of `services.runtime.settings.ServerSettings`."""

    listen: str
    tls: Tls
    metrics: Login


def served(port: int, scraper: str, auth_folder: str) -> Served:
    """How a program serves.

    Args:
        port: Port that it listens on.
        scraper: User that reads the metrics.
        auth_folder: Folder with the file ``scrape-password``.
    """
    return Served(
        listen=f"0.0.0.0:{port}",
        tls=Tls(cert_file=Path(f"{TLS_MOUNT}/tls.crt"), key_file=Path(f"{TLS_MOUNT}/tls.key")),
        metrics=Login(user=scraper, password_file=Path(f"{auth_folder}/scrape-password")),
    )
