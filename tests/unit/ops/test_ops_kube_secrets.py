"""Secrets as ``ops`` reads them: texts and what is none, and what is missing or refused."""

from __future__ import annotations

import base64
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.client.exceptions import ApiException

from ops.core.errors import OpsError
from ops.core.kube import Kube

KEYSTORE = bytes([0x30, 0x82, 0x0A, 0xFE])


def kube(content: dict[str, bytes] | int) -> Kube:
    """One whose Secret ``one`` has this content, or is answered with a status code."""

    def read(name: str, namespace: str, **_: Any) -> Any:
        assert (name, namespace) == ("one", "obs")
        if isinstance(content, int):
            raise ApiException(status=content, reason="no")
        return SimpleNamespace(data={key: base64.b64encode(value).decode() for key, value in content.items()} or None)

    connected = Kube(None, "obs")
    connected.core = SimpleNamespace(read_namespaced_secret=read)
    return connected


def test_a_secret_may_hold_what_is_no_text() -> None:
    content = {"keystore.p12": KEYSTORE, "tls.crt": b"chain"}
    assert kube(content).secret("one") == content
    assert kube(content).secret_entry("one", "tls.crt") == "chain"


def test_an_empty_secret_and_none_are_told_apart() -> None:
    assert kube({}).secret("one") == {}
    assert kube(404).secret("one") is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "Secret one of namespace obs has no key: run `pulumi up --policy-pack policy` with this version"),
        (404, "there is no Secret one of namespace obs: run `pulumi up --policy-pack policy` with this version"),
        (403, "cannot read Secret one of namespace obs: HTTP 403 no"),
    ],
)
def test_an_entry_that_cannot_be_had_is_one_line(content: dict[str, bytes] | int, message: str) -> None:
    with pytest.raises(OpsError, match=f"^{message}$"):
        kube(content).secret_entry("one", "key")


@pytest.mark.parametrize(("status", "allowed"), [(403, False), (404, True), (None, True)])
def test_who_may_read_a_secret_is_known_whether_it_is_there_or_not(status: int | None, allowed: bool) -> None:
    assert kube({} if status is None else status).may_read_secret("one") is allowed


def test_an_error_of_the_server_is_no_refusal() -> None:
    with pytest.raises(OpsError, match="cannot ask for a Secret: HTTP 500 no"):
        kube(500).may_read_secret("one")
