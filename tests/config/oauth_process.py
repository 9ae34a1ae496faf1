"""The real oauth2-proxy in front of a Jaeger query, from the command line that the component renders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from components.jaeger.query import REQUESTS
from components.login_proxy import OauthConfig, oauth_command
from lab.toolchain import tools
from tests.config.servers import running


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
