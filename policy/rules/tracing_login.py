"""oauth2-proxy: the logins before Jaeger, metrics and alerts have no way around them and trust nobody unverified."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from policy.model import Finding, Options, Resource, Rule
from policy.rules import _values
from policy.rules._kubernetes import of_kind
from policy.rules._oauth_proxy import options as options_of
from policy.rules._oauth_proxy import structured_content, structured_file
from policy.rules._servers import Container, File, Mounted, Variables, containers
from policy.rules._values import each_known, finding, host_of, loopback, true
from policy.rules.certificates import has_certificate

_NAMES: Final = ("oauth2-proxy", "oauth2_proxy")
_GROUPS: Final = ("allowed_group", "allowed_role", "keycloak_group", "google_group", "gitlab_group", "github_team")
_SKIPS: Final = {
    "ssl_upstream_insecure_skip_verify": "the certificate behind the proxy is not verified",
    "ssl_insecure_skip_verify": "the identity provider's certificate is not verified",
    "insecure_oidc_allow_unverified_email": "mail addresses that nobody verified are taken",
    "insecure_oidc_skip_issuer_verification": "tokens of any issuer are taken",
    "redis_insecure_skip_tls_verify": "the session store's certificate is not verified",
}
_PLURAL: Final = frozenset(
    {"upstreams", "email_domains", "allowed_groups", "allowed_roles", "keycloak_groups", "google_groups"}
    | {"skip_auth_routes", "trusted_ips", "gitlab_groups"}
)
_AROUND: Final = ("skip_auth_regex", "skip_auth_route", "trusted_ip")


@dataclass(frozen=True)
class _Setting:
    values: tuple[str, ...]
    resource: Resource
    where: str
    hidden: bool = False

    @property
    def value(self) -> str:
        return self.values[-1] if self.values else ""


@dataclass(frozen=True, eq=False)
class _Proxy:
    container: Container
    mounted: Mounted
    variables: Variables
    given: Mapping[str, _Setting]
    structured: File | None

    def of(self, key: str) -> _Setting:
        """A setting, or an empty one at the container."""
        setting = self.given.get(key)
        if setting is None:
            self.mounted.missing()
            self.variables.missing()
        return setting or _Setting((), self.container.resource, self.container.node.path)


def _key(name: str) -> str:
    """One name for a flag, a variable and a key of the file: singular, with underscores."""
    name = name.lower().replace("-", "_")
    return name[:-1] if name in _PLURAL else name


def _file(file: File) -> Iterator[tuple[str, _Setting]]:
    for key, value in (_values.toml(file.text) or {}).items():
        values = tuple(str(setting_value) for setting_value in value) if isinstance(value, list) else (str(value),)
        yield _key(key), _Setting(values, file.resource, f"{file.name}: {key}", file.resource.kind == "Secret")


def _proxies(resources: Sequence[Resource]) -> Iterator[_Proxy]:
    for resource in resources:
        for container in containers(resource):
            if not container.runs(*_NAMES):
                continue
            mounted = container.mounted(resources)
            given: dict[str, _Setting] = {}
            path = container.flag("config")
            file = mounted.at(path.text) if path else None
            if file:
                given |= dict(_file(file))
            variables = container.variables(resources)
            for name, variable in variables.items():
                if name.startswith("OAUTH2_PROXY_"):
                    values = tuple(filter(None, (variable.value or "").split(",")))
                    key = _key(name.removeprefix("OAUTH2_PROXY_"))
                    given[key] = _Setting(values, resource, variable.where, variable.secret)
            for name in {word.text.lstrip("-").split("=")[0] for word in container.words if word.text.startswith("-")}:
                words = container.flags(name)
                values = tuple(value for word in words for value in word.text.split(","))
                given[_key(name)] = _Setting(values, resource, words[-1].where)
            structured = structured_file(container, mounted)
            if structured:
                for key, node, values in options_of(structured_content(structured)):
                    hidden = structured.resource.kind == "Secret"
                    given[key] = _Setting(values, structured.resource, node.path, hidden)
            yield _Proxy(container, mounted, variables, given, structured)


def _upstream(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    yield from each_known(_upstream_of(proxy) for proxy in _proxies(resources))


def _upstream_of(proxy: _Proxy) -> Iterator[Finding]:
    upstream = proxy.of("upstream")
    if not upstream.values:
        yield finding(
            upstream.resource,
            upstream.where,
            "oauth2-proxy has nothing behind it: upstream is not set",
            "name it with https",
        )
    for address in upstream.values:
        if not address.startswith(("https://", "static://")) and not loopback(address):
            yield finding(
                upstream.resource,
                upstream.where,
                f"the proxy passes requests on in clear text: upstream is {address}",
                "give the upstream an https address",
            )
    for key, problem in _SKIPS.items():
        setting = proxy.given.get(key)
        if setting and true(setting.value):
            yield finding(setting.resource, setting.where, f"{problem}: {key} is {setting.value}", f"remove {key}")
    challenge = proxy.of("code_challenge_method")
    if challenge.value != "S256":
        yield finding(
            challenge.resource,
            challenge.where,
            f"a stolen code is a login: code_challenge_method is {challenge.value or 'not set'}",
            "set code_challenge_method to S256",
        )
    if proxy.structured:
        yield from _passed_on(proxy.structured)
    nonce = proxy.of("insecure_oidc_skip_nonce")
    if nonce.value.lower() != "false":
        yield finding(
            nonce.resource,
            nonce.where,
            f"a stolen token may be used again: insecure_oidc_skip_nonce is {nonce.value or 'true by default'}",
            "set insecure_oidc_skip_nonce to false",
        )


def _passed_on(file: File) -> Iterator[Finding]:
    """What clients show at the proxy goes no further, and there is one provider, whose options are looked at."""
    node = structured_content(file)
    headers = node["injectRequestHeaders"]
    for name in ("Authorization", "Cookie"):
        own = [one for one in headers.elements() if one["name"].text().lower() == name.lower()]
        if not own or any(true(one["preserveRequestValue"].value) for one in own):
            yield finding(
                file.resource,
                headers,
                f"what clients sign in with is passed on to the server behind: {name} is kept",
                f"list {name} under injectRequestHeaders, without preserveRequestValue",
            )
    if len(list(node["providers"].elements())) > 1:
        yield finding(file.resource, node["providers"], "a second provider is not looked at", "name one provider")


def _served(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    proxies, certificates = list(_proxies(resources)), of_kind(resources, "Certificate")
    yield from each_known(_served_of(proxy) for proxy in proxies)
    yield from each_known(_comes_back(proxy, certificates) for proxy in proxies)


def _comes_back(proxy: _Proxy, certificates: Sequence[Resource]) -> Iterator[Finding]:
    """People who signed in come back to this workload: with their code to nobody else."""
    own = [one.node["spec"] for one in certificates if has_certificate(proxy.container.resource, one)]
    names = {name for spec in own for key in ("dnsNames", "ipAddresses") for name in spec[key].texts()}
    redirect = proxy.of("redirect_url")
    if names and host_of(redirect.value) not in names:
        yield finding(
            redirect.resource,
            redirect.where,
            f"logins come back to another server: redirect_url is {redirect.value or 'not set'}",
            "set redirect_url to a name of the workload's certificate",
        )


def _served_of(proxy: _Proxy) -> Iterator[Finding]:
    for key in ("tls_cert_file", "tls_key_file"):
        setting = proxy.of(key)
        if not setting.value:
            yield finding(
                setting.resource,
                setting.where,
                f"the proxy has no certificate: {key} is not set",
                f"set {key} to the workload's certificate",
            )
    redirect = proxy.of("redirect_url")
    if not redirect.value.startswith("https://"):
        yield finding(
            redirect.resource,
            redirect.where,
            f"logins do not come back over TLS: redirect_url is {redirect.value or 'not set'}",
            "set redirect_url to the https address that browsers use",
        )
    plain = proxy.given.get("http_address")
    if plain and plain.value and not loopback(plain.value) and not true(proxy.of("force_https").value):
        yield finding(
            plain.resource,
            plain.where,
            f"the proxy also listens without TLS: http_address is {plain.value}",
            "remove http_address, or set force_https",
        )
    for key in ("cookie_secure", "cookie_httponly"):
        cookie = proxy.given.get(key)
        if cookie and not true(cookie.value):
            yield finding(
                cookie.resource,
                cookie.where,
                f"the session cookie can be stolen: {key} is {cookie.value}",
                f"remove {key}",
            )
    site = proxy.given.get("cookie_samesite")
    if site and site.value not in ("lax", "strict"):
        yield finding(
            site.resource,
            site.where,
            f"other sites may use the session cookie: cookie_samesite is {site.value or 'empty'}",
            "set cookie_samesite to lax",
        )


def _who(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    yield from each_known(_who_of(proxy) for proxy in _proxies(resources))


def _who_of(proxy: _Proxy) -> Iterator[Finding]:
    if not any(proxy.given[key].values for key in _GROUPS if key in proxy.given):
        group = proxy.of("allowed_group")
        yield finding(
            group.resource,
            group.where,
            "everybody with an account of the company gets in: allowed_group is not set",
            "list the groups that may come in",
        )
    for key, setting in proxy.given.items():
        for value in setting.values if key in _AROUND else ():
            yield finding(setting.resource, setting.where, f"{value} gets past the login: {key}", f"remove {key}")


def _secrets(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    yield from each_known(_secrets_of(proxy) for proxy in _proxies(resources))


def _secrets_of(proxy: _Proxy) -> Iterator[Finding]:
    for header in structured_content(proxy.structured)["injectRequestHeaders"].elements() if proxy.structured else ():
        for value in header["values"].elements():
            written = value.at("secretSource.value")
            if written.exists and proxy.structured and proxy.structured.resource.kind != "Secret":
                name = header["name"].text()
                problem = f"the proxy's own login behind it is written in clear text: {name}"
                yield finding(proxy.structured.resource, written, problem, "name its file with fromFile")
    for key in ("cookie_secret", "client_secret"):
        setting, file = proxy.given.get(key), proxy.given.get(f"{key}_file")
        if setting and not setting.hidden:
            yield finding(
                setting.resource, setting.where, f"{key} is written in clear text", f"name its file with {key}_file"
            )
        elif not setting and (file is None or not file.value):
            place = proxy.of(f"{key}_file")
            yield finding(place.resource, place.where, f"the proxy has no {key}", f"name its file with {key}_file")


RULES: tuple[Rule, ...] = (
    Rule(
        id="oauth-proxy-upstream",
        promise="The login proxy verifies whom it talks to: what is behind it, and the identity provider.",
        why="With a false provider everybody is whoever they like; traces and metrics would be readable by anybody.",
        sources=("J3",),
        stack=_upstream,
    ),
    Rule(
        id="oauth-proxy-tls",
        promise="Browsers reach the login proxy over TLS and keep their cookie to themselves.",
        why="A session that is read on the way is a login.",
        sources=("J3",),
        stack=_served,
    ),
    Rule(
        id="oauth-proxy-groups",
        promise="Only members of named groups pass the login proxy, on every path.",
        why="Traces have confidentiality classes, alerts can be silenced; a path without login is open to everybody.",
        sources=("J3",),
        stack=_who,
    ),
    Rule(
        id="oauth-proxy-secrets",
        promise="The login proxy's secrets come from files or Secrets.",
        why="With the cookie secret anybody makes sessions for anybody.",
        sources=("J3", "P2"),
        stack=_secrets,
    ),
)
