"""Logs in to the directory, over verified TLS."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ldap3 import NONE, Connection, Server, Tls

CALL_LIMIT_S = 5


@contextmanager
def connected(url: str, authority: Path) -> Iterator[Connection]:
    """A connection on which nobody has logged in yet, until the block ends.

    Args:
        url: ``ldaps://host:port``.
        authority: File of who signs the directory's certificate.

    Raises:
        ldap3.core.exceptions.LDAPException: Nobody answers there, or somebody else.
    """
    tls = Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=str(authority))
    server = Server(url, tls=tls, get_info=NONE, connect_timeout=CALL_LIMIT_S)
    connection = Connection(server, receive_timeout=CALL_LIMIT_S, raise_exceptions=True)
    try:
        connection.open()
        yield connection
    finally:
        if connection.closed and connection.socket is not None:
            connection.socket.close()
        connection.unbind()


@contextmanager
def logged_in(url: str, authority: Path, name: str, password: str) -> Iterator[Connection]:
    """A connection of who has the distinguished name and the password, until the block ends.

    Raises:
        ldap3.core.exceptions.LDAPException: As `connected`; or the password is another.
    """
    with connected(url, authority) as connection:
        connection.rebind(user=name, password=password)
        yield connection
