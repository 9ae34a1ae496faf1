"""The structured file of oauth2-proxy ("alpha configuration") as the options of its command line that it stands for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from policy.documents import parse
from policy.model import Node
from policy.rules._servers import Container, File, Mounted
from policy.rules._values import true

_SERVER: Final[Mapping[str, str]] = {
    "http_address": "server.bindAddress",
    "https_address": "server.secureBindAddress",
    "tls_cert_file": "server.tls.cert.fromFile",
    "tls_key_file": "server.tls.key.fromFile",
}
_PROVIDER: Final[Mapping[str, str]] = {
    "allowed_group": "allowedGroups",
    "client_secret": "clientSecret",
    "client_secret_file": "clientSecretFile",
    "code_challenge_method": "code_challenge_method",
    "insecure_oidc_allow_unverified_email": "oidcConfig.insecureAllowUnverifiedEmail",
    "insecure_oidc_skip_issuer_verification": "oidcConfig.insecureSkipIssuerVerification",
    "insecure_oidc_skip_nonce": "oidcConfig.insecureSkipNonce",
}


def structured_file(container: Container, mounted: Mounted) -> File | None:
    """The file that a proxy's command line names, where it is mounted."""
    path = container.flag("alpha-config")
    return mounted.at(path.text) if path else None


def structured_content(file: File) -> Node:
    """What is in it."""
    return Node(parse(file.name, file.text)[1], f"{file.name}:")


def options(node: Node) -> Iterator[tuple[str, Node, tuple[str, ...]]]:
    """Option as a variable calls it, where it is set, and its values; the proxy takes one provider."""
    for key, path in _SERVER.items():
        if node.at(path).exists:
            yield key, node.at(path), (node.at(path).text(),)
    for key, path in _PROVIDER.items():
        setting = node["providers"][0].at(path)
        values = tuple(setting.texts()) or ((setting.text(),) if setting.exists else ())
        if values:
            yield key, setting, values
    upstreams = list(node.at("upstreamConfig.upstreams").elements())
    if upstreams:
        addresses = tuple("static://" if true(one["static"].value) else one["uri"].text() for one in upstreams)
        yield "upstream", node.at("upstreamConfig.upstreams"), addresses
    for one in upstreams:
        if true(one["insecureSkipTLSVerify"].value):
            yield "ssl_upstream_insecure_skip_verify", one["insecureSkipTLSVerify"], ("true",)
