"""Who restores into the platform's own search cluster."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest
from kubernetes.client.exceptions import ApiException

from ops.backups.destinations import search_administrator
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kube import Kube

CERTIFICATE = {"search-admin-tls": {"tls.crt": "chain", "tls.key": "key"}}
LOGIN = {"search-restorer-auth": {"username": "search-restorer", "password": "sesame"}}


def context(secrets: Mapping[str, Mapping[str, str]], *, missing: int = 404) -> Context:
    """A platform with some Secrets; what is not there is answered with ``missing``."""

    def read(name: str, namespace: str, **_: Any) -> Any:
        if name not in secrets:
            raise ApiException(status=missing, reason="no")
        return SimpleNamespace(
            data={key: base64.b64encode(text.encode()).decode() for key, text in secrets[name].items()}
        )

    kube: Any = Kube(None, "obs")
    kube.core = SimpleNamespace(read_namespaced_secret=read)
    kube.ready_pod = lambda _: SimpleNamespace(name="search-0")
    tunnels = SimpleNamespace(url=lambda pod, port: f"https://{pod}:{port}")
    return cast(Context, SimpleNamespace(kube=kube, tunnels=tunnels, ca_file="/ca.crt"))


def test_opensearch_is_reached_with_the_certificate() -> None:
    with search_administrator(context({**CERTIFICATE, **LOGIN})) as cluster:
        assert (cluster.url, cluster.login) == ("https://search-0:9200", None)
        assert cluster.certificate is not None
        files = cluster.certificate
        assert [file.read_text() for file in files] == ["chain", "key"]
        assert all(file.stat().st_mode & 0o077 == 0 for file in files)
    assert not any(file.exists() for file in files)


def test_elasticsearch_is_reached_with_the_login_that_restores() -> None:
    with search_administrator(context(LOGIN)) as cluster:
        assert (cluster.certificate, cluster.login) == (None, ("search-restorer", "sesame"))


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        (404, "there is neither Secret search-admin-tls nor search-restorer-auth, .*: give --url, --ca and --login"),
        (403, "cannot read Secret search-admin-tls of namespace obs: HTTP 403 no: give --url, --ca and --login"),
    ],
)
def test_who_may_be_neither_is_told_what_to_give(missing: int, message: str) -> None:
    with pytest.raises(OpsError, match=message), search_administrator(context({}, missing=missing)):
        pass
