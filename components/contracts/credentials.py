"""Credentials and certificates."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi


@dataclass(frozen=True, kw_only=True)
class Credential:
    """A user and its password.

    Attributes:
        username: Login name.
        password: The password, for the client (always a secret Output).
        bcrypt: The password's bcrypt hash, for servers that store hashes (always a secret Output).
    """

    username: str
    password: pulumi.Output[str]
    bcrypt: pulumi.Output[str]


@dataclass(frozen=True, kw_only=True)
class TlsIdentity:
    """Certificate of one workload, in a Secret that cert-manager writes.

    Mounted at ``/etc/tls``: ``tls.crt`` (chain), ``tls.key`` (PKCS#8), ``ca.crt`` and ``tls-combined.pem`` (key, then
    chain).

    Attributes:
        workload: The workload it belongs to.
        secret_name: Secret of the certificate.
        server_name: Name that clients verify: the workload's Service.
    """

    workload: str
    secret_name: pulumi.Input[str]
    server_name: str
