"""Who a request is about: the id as the operator has it, and the pseudonym that stands for it in telemetry."""

from __future__ import annotations

import base64
import getpass
import sys
from pathlib import PurePosixPath

from components.gateway.component import WORKLOAD
from components.gateway.config import HASH_KEY_FILE
from components.masking.pseudonyms import pseudonym
from ops.core.errors import OpsError
from ops.core.kube import Kube, call_errors

ASK = "-"
"""Given in place of the id: it is read from standard input, and stands in no list of processes and no history."""
AUTH_SECRET = f"{WORKLOAD}-auth"
HASH_KEY_ENTRY = PurePosixPath(HASH_KEY_FILE).name
"""Its file in the gateways' pods is the Secret's entry of that name."""


def subject_id(given: str) -> str:
    """The id of the subject.

    Raises:
        OpsError: It is empty.
    """
    if given == ASK:
        given = getpass.getpass("id of the subject: ") if sys.stdin.isatty() else sys.stdin.readline()
    plain = given.strip("\r\n")
    if not plain:
        raise OpsError("--subject is empty: give the id as clients send it, or - to be asked for it")
    return plain


def masking_key(kube: Kube) -> str:
    """The key with which the gateways hash ids.

    It is in the Secret ``gateway-auth`` of the platform's namespace. Who may read that Secret can tell whose data a
    pseudonym stands for.

    Raises:
        OpsError: The Secret is not there, or may not be read.
    """
    return secret_entry(kube, AUTH_SECRET, HASH_KEY_ENTRY)


def secret_entry(kube: Kube, name: str, key: str) -> str:
    """An entry of a Secret of the platform's namespace.

    Raises:
        OpsError: It is not there, or may not be read.
    """
    with call_errors(f"cannot read Secret {name} of namespace {kube.namespace}"):
        data = kube.core.read_namespaced_secret(name, kube.namespace, _request_timeout=15).data or {}
    if key not in data:
        raise OpsError(f"Secret {name} of namespace {kube.namespace} has no {key}: run `pulumi up` with this version")
    return base64.b64decode(data[key]).decode()


def pseudonym_of(plain: str, key: str) -> str:
    """What stands for the id in telemetry.

    Raises:
        OpsError: The key is none of the gateway's.
    """
    try:
        return pseudonym(plain, key)
    except ValueError as error:
        raise OpsError(str(error)) from None
