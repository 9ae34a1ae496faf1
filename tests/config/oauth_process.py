"""The real oauth2-proxy from the command lines and files that components render, and the provider's fake beside it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
import yaml

from components.jaeger.query import REQUESTS
from components.login_proxy import (
    OauthConfig,
    basic_authorization,
    oauth_command,
    structured_command,
    structured_config,
)
from components.signin import REQUESTS as SIGN_IN_REQUESTS
from lab.paths import CHECKOUT
from lab.toolchain import tools
from tests.config.servers import free_port, running


@contextmanager
def oauth_process(
    folder: Path,
    *,
    issuer: str,
    port: int,
    query_port: int,
    groups: Sequence[str],
    client_secret: str,
    name: str = "proxy",
    cookie_name: str = "jaeger-query-confidential",
    options: Sequence[str] = (),
) -> Iterator[str]:
    """Run the proxy and return where browsers reach it.

    Args:
        folder: With ``tls.crt``, ``tls.key`` and ``ca.crt``, the authority of the provider too.
        issuer: The provider.
        port: Where the proxy listens.
        query_port: Where its Jaeger query is.
        groups: Who is let in.
        client_secret: Password of the client ``jaeger``.
        name: Of its log.
        cookie_name: Of its session cookie.
        options: Further options, in place of rendered ones.
    """
    url = f"https://localhost:{port}"
    (folder / "client-secret").write_text(client_secret)
    (folder / "cookie-secret").write_text("0123456789abcdef0123456789abcdef")
    command = oauth_command(
        OauthConfig(
            issuer=issuer,
            client_id="jaeger",
            url=url,
            upstream=f"http://127.0.0.1:{query_port}/",
            groups=groups,
            cookie_name=cookie_name,
            requests=REQUESTS,
            private_authority=True,
            listen=f"127.0.0.1:{port}",
            tls_directory=str(folder),
            client_secret=str(folder / "client-secret"),
            cookie_secret=str(folder / "cookie-secret"),
            provider_authority=str(folder / "ca.crt"),
        ),
        str(tools.path("oauth2-proxy")),
    )
    with running([*command, *options], folder / f"{name}.log", port):
        yield url


_COOKIE_SECRET = "0123456789abcdef0123456789abcdef"


def login_config(
    folder: Path, *, workload: str, issuer: str, port: int, upstream: str, groups: Sequence[str], client_secret: str
) -> OauthConfig:
    """What a login in front of metrics or alerts is rendered from, with its files in ``folder``."""
    (folder / "client-secret").write_text(client_secret)
    (folder / "cookie-secret").write_text(_COOKIE_SECRET)
    return OauthConfig(
        issuer=issuer,
        client_id="jaeger",
        url=f"https://localhost:{port}",
        upstream=upstream,
        groups=groups,
        cookie_name=workload,
        requests=SIGN_IN_REQUESTS[workload],
        private_authority=True,
        listen=f"127.0.0.1:{port}",
        tls_directory=str(folder),
        client_secret=str(folder / "client-secret"),
        cookie_secret=str(folder / "cookie-secret"),
        provider_authority=str(folder / "ca.crt"),
    )


@contextmanager
def login_process(config: OauthConfig, folder: Path, login: tuple[str, str], name: str) -> Iterator[str]:
    """Run a login in front of metrics or alerts, and return where browsers reach it.

    Args:
        config: What it is rendered from.
        folder: Of its files.
        login: Its own user and password at what is behind it.
        name: Of its log.
    """
    authorization, structured = folder / f"{name}-authorization", folder / f"{name}.yaml"
    authorization.write_text(basic_authorization(*login))
    structured.write_text(yaml.safe_dump(structured_config(config, str(authorization))))
    command = structured_command(config, str(tools.path("oauth2-proxy")), str(structured))
    port = int(config.listen.rpartition(":")[2])
    with running(command, folder / f"{name}.log", port):
        yield config.url


@contextmanager
def provider_process(folder: Path, accounts: Mapping[str, Any], port: int | None = None) -> Iterator[str]:
    """Run the fake of the identity provider, and return its issuer URL.

    Args:
        folder: With ``tls.crt`` and ``tls.key``.
        accounts: Its users and clients.
        port: Where it listens; any where it is left out.
    """
    port = port or free_port()
    settings = {
        "issuer": f"https://localhost:{port}",
        "host": "127.0.0.1",
        "port": port,
        "cert_file": str(folder / "tls.crt"),
        "key_file": str(folder / "tls.key"),
        **accounts,
    }
    (folder / "identity.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "lab.fakes.identity", f"--config={folder / 'identity.json'}"]
    with running(["env", f"PYTHONPATH={CHECKOUT}", *command], folder / "identity.log", port):
        yield str(settings["issuer"])


def sign_in(url: str, issuer: str, ca: str, name: str, password: str) -> tuple[requests.Session, requests.Response]:
    """What a browser does at a page: follow to the form, fill it in, follow back."""
    browser = requests.Session()
    browser.trust_env = False
    browser.verify = ca
    form = browser.get(url, timeout=60)
    assert form.status_code == 200, form.text
    fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form.text))
    assert fields["code_challenge_method"] == "S256"
    data = {**fields, "username": name, "password": password}
    return browser, browser.post(f"{issuer}/authorize", data=data, timeout=60)
