"""Servers that a restore goes to, where they are not those of the running platform."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from ops.core.errors import OpsError, one_line
from ops.core.platform import Login


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server with who logs in there: its address, its authority's certificate, name and password."""

    url: str
    ca_file: Path
    login: tuple[str, str]


def server(url: str | None, ca_file: Path | None, login_file: Path | None) -> Server | None:
    """The server that three options name together, or nothing where none is given.

    Raises:
        OpsError: One is missing, or the file is none with a login.
    """
    given = {"--url": url, "--ca": ca_file, "--login": login_file}
    if not any(given.values()):
        return None
    missing = [name for name, value in given.items() if value is None]
    if url is None or ca_file is None or login_file is None:
        raise OpsError(f"{', '.join(missing)} is missing: another server needs --url, --ca and --login together")
    if not ca_file.is_file():
        raise OpsError(f"--ca {ca_file}: there is no such file: name the certificate of who signs the server's")
    return Server(url=url, ca_file=ca_file, login=read_login(login_file).pair)


def read_login(file: Path) -> Login:
    """A name and a password.

    Raises:
        OpsError: The file cannot be read, or is none of this kind; the message shows nothing of it.
    """
    try:
        return Login.model_validate_json(file.read_bytes())
    except OSError as error:
        raise OpsError(f"--login {file}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise OpsError(
            f'--login {file}: {one_line(first["msg"])}: must be {{"username": "...", "password": "..."}}'
        ) from None


def read_dsn(file: Path) -> str:
    """A connection to PostgreSQL, from a file that may hold a password.

    Raises:
        OpsError: The file cannot be read, or is empty.
    """
    try:
        dsn = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise OpsError(f"--dsn-file {file}: cannot be read: {getattr(error, 'strerror', None) or 'no text'}") from None
    if not dsn:
        raise OpsError(f"--dsn-file {file}: is empty; it must hold a connection such as host=... dbname=... user=...")
    return dsn
