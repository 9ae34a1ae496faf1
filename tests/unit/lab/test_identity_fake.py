"""The identity fake: what it grants and what it refuses, without a network."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlparse

import bcrypt
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from lab.fakes.identity.__main__ import (
    CODE_LIFE_S,
    Grants,
    Settings,
    SettingsError,
    TokenMaker,
    application,
    load,
    main,
)

ISSUER = "https://issuer.example:5556"
BACK = "https://query.example/oauth2/callback"
VERIFIER = "v" * 50
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
ASKED = {
    "client_id": "jaeger",
    "redirect_uri": BACK,
    "response_type": "code",
    "scope": "openid email groups",
    "state": "state-1",
    "nonce": "nonce-1",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}
CAROL = {"username": "carol", "password": "her-password"}
CLIENT = ("jaeger", "client-secret")


class Provider:
    """The fake, called as a web server would call it."""

    def __init__(self, settings: Settings) -> None:
        self.now = 0.0
        self.tokens = TokenMaker(settings.issuer, settings.token_life_s)
        grants = Grants(settings.users, settings.clients, lambda: self.now)
        self.app = application(settings.issuer, grants, self.tokens)

    def call(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        form: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        header: str = "",
    ) -> tuple[int, dict[str, str], str]:
        body = urlencode(form or {}).encode()
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "PATH_INFO": path,
            "QUERY_STRING": urlencode(query or {}),
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
            "HTTP_AUTHORIZATION": header,
        }
        if auth:
            environ["HTTP_AUTHORIZATION"] = "Basic " + base64.b64encode(":".join(auth).encode()).decode()
        seen: list[tuple[str, list[tuple[str, str]]]] = []

        def start(status: str, headers: list[tuple[str, str]], error: Any = None) -> Any:
            seen.append((status, headers))

        text = b"".join(self.app(environ, start)).decode()
        status, headers = seen[0]
        return int(status.split()[0]), dict(headers), text

    def code(self, **changes: str) -> str:
        status, headers, text = self.call("POST", "/authorize", form={**ASKED, **CAROL, **changes})
        assert status == 303, text
        return parse_qs(urlparse(headers["Location"]).query)["code"][0]

    def redeem(self, code: str, auth: tuple[str, str] | None = CLIENT, **changes: str) -> tuple[int, dict[str, Any]]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": BACK,
            "code_verifier": VERIFIER,
            **changes,
        }
        status, _, text = self.call("POST", "/token", form=form, auth=auth)
        return status, json.loads(text)

    def claims(self, token: str) -> dict[str, Any]:
        keys = KeySet.import_key_set(json.loads(self.call("GET", "/jwks")[2]))
        claims: dict[str, Any] = jwt.decode(token, keys, algorithms=["ES256"]).claims
        return claims


def config() -> dict[str, Any]:
    hashed = bcrypt.hashpw(b"her-password", bcrypt.gensalt(4)).decode()
    return {
        "issuer": ISSUER,
        "host": "127.0.0.1",
        "port": 5556,
        "cert_file": "/pki/tls.crt",
        "key_file": "/pki/tls.key",
        "token_life_s": 600,
        "users": [
            {"name": "carol", "password_hash": hashed, "email": "carol@example.org", "groups": ["traces-internal"]}
        ],
        "clients": [
            {"client_id": "jaeger", "secret": "client-secret", "redirects": [BACK]},
            {"client_id": "other", "secret": "other-secret", "redirects": ["https://other.example/"]},
            {"client_id": "ops", "secret": "tool-secret", "groups": ["traces-public"], "audiences": ["jaeger"]},
        ],
    }


def write(folder: Path, content: dict[str, Any]) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def provider(tmp_path: Path) -> Provider:
    return Provider(load(write(tmp_path, config())))


def test_a_login_ends_in_a_token_with_the_groups(provider: Provider) -> None:
    status, answer = provider.redeem(provider.code())
    assert status == 200
    claims = provider.claims(answer["id_token"])
    assert claims["iss"] == ISSUER
    assert claims["aud"] == "jaeger"
    assert claims["sub"] == "carol"
    assert claims["nonce"] == "nonce-1"
    assert claims["groups"] == ["traces-internal"]
    assert claims["exp"] - claims["iat"] == 600


def test_the_state_comes_back(provider: Provider) -> None:
    _, headers, _ = provider.call("POST", "/authorize", form={**ASKED, **CAROL})
    assert headers["Location"].startswith(f"{BACK}?")
    assert parse_qs(urlparse(headers["Location"]).query)["state"] == ["state-1"]


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "unknown"},
        {"redirect_uri": "https://evil.example/"},
        {"redirect_uri": BACK + "/more"},
        {"response_type": "token"},
        {"scope": "email"},
        {"code_challenge": ""},
        {"code_challenge_method": "plain"},
        {"code_challenge": "short"},
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unacceptable_request_is_refused_without_a_redirect(
    provider: Provider, method: str, changes: dict[str, str]
) -> None:
    fields = {**ASKED, **CAROL, **changes}
    status, headers, _ = provider.call(method, "/authorize", query=fields, form=fields)
    assert status == 400
    assert "Location" not in headers


@pytest.mark.parametrize("changes", [{"username": "nobody"}, {"password": "wrong"}, {"password": ""}, {"username": ""}])
def test_a_wrong_login_is_refused(provider: Provider, changes: dict[str, str]) -> None:
    status, headers, text = provider.call("POST", "/authorize", form={**ASKED, **CAROL, **changes})
    assert status == 401
    assert "Location" not in headers
    assert CAROL["password"] not in text


def test_the_form_escapes_what_it_was_given(provider: Provider) -> None:
    _, headers, text = provider.call("GET", "/authorize", query={**ASKED, "state": '"><script>alert(1)</script>'})
    assert "<script>" not in text
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"


def test_a_code_is_good_once(provider: Provider) -> None:
    code = provider.code()
    assert provider.redeem(code)[0] == 200
    assert provider.redeem(code) == (
        400,
        {"error": "invalid_grant", "error_description": "the code is unknown, used up or too old"},
    )


def test_a_code_is_good_for_a_minute(provider: Provider) -> None:
    code = provider.code()
    provider.now = CODE_LIFE_S + 1
    assert provider.redeem(code)[0] == 400


@pytest.mark.parametrize(
    ("auth", "changes"),
    [
        (CLIENT, {"code_verifier": "w" * 50}),
        (CLIENT, {"code_verifier": ""}),
        (CLIENT, {"redirect_uri": "https://other.example/"}),
        (("other", "other-secret"), {}),
    ],
)
def test_a_code_of_another_client_address_or_verifier_is_refused_and_used_up(
    provider: Provider, auth: tuple[str, str], changes: dict[str, str]
) -> None:
    code = provider.code()
    assert provider.redeem(code, auth, **changes)[1]["error"] == "invalid_grant"
    assert provider.redeem(code)[0] == 400


@pytest.mark.parametrize("auth", [("jaeger", "wrong"), ("unknown", ""), ("unknown", "x"), None])
def test_a_client_without_its_password_is_refused(provider: Provider, auth: tuple[str, str] | None) -> None:
    status, answer = provider.redeem(provider.code(), auth)
    assert status == 401
    assert answer["error"] == "invalid_client"


def test_a_client_may_give_its_password_in_the_body(provider: Provider) -> None:
    status, _ = provider.redeem(provider.code(), None, client_id=CLIENT[0], client_secret=CLIENT[1])
    assert status == 200


def test_a_tool_gets_a_token_of_its_own(provider: Provider) -> None:
    form = {"grant_type": "client_credentials"}
    status, _, text = provider.call("POST", "/token", form=form, auth=("ops", "tool-secret"))
    assert status == 200
    claims = provider.claims(json.loads(text)["access_token"])
    assert (claims["sub"], claims["aud"], claims["groups"]) == ("ops", "jaeger", ["traces-public"])


def test_a_login_client_gets_no_token_of_its_own(provider: Provider) -> None:
    status, _, text = provider.call("POST", "/token", form={"grant_type": "client_credentials"}, auth=CLIENT)
    assert status == 400
    assert json.loads(text)["error"] == "unauthorized_client"


def test_passwords_are_no_grant(provider: Provider) -> None:
    status, _, text = provider.call("POST", "/token", form={"grant_type": "password", **CAROL}, auth=CLIENT)
    assert status == 400
    assert json.loads(text)["error"] == "unsupported_grant_type"


def test_a_malformed_login_header_is_refused(provider: Provider) -> None:
    assert provider.call("POST", "/token", form={}, header="Basic ???")[0] == 401


def test_a_body_that_is_too_long_is_not_read(provider: Provider) -> None:
    assert provider.call("POST", "/authorize", form={"x": "y" * 20_000})[0] == 400


def test_discovery_and_keys_show_no_private_part(provider: Provider) -> None:
    document = json.loads(provider.call("GET", "/.well-known/openid-configuration")[2])
    assert document["issuer"] == ISSUER
    assert document["code_challenge_methods_supported"] == ["S256"]
    (key,) = json.loads(provider.call("GET", "/jwks")[2])["keys"]
    assert "d" not in key


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("GET", "/token"), ("PUT", "/authorize"), ("POST", "/jwks")]
)
def test_everything_else_is_not_there(provider: Provider, method: str, path: str) -> None:
    assert provider.call(method, path)[0] == 404


def test_it_is_healthy(provider: Provider) -> None:
    assert provider.call("GET", "/healthz")[0] == 200


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"issuer": "http://plain"}, "issuer: String should match pattern"),
        ({"issuer": "https://x/"}, "issuer: String should match pattern"),
        ({"port": "5556"}, "port: Input should be a valid integer"),
        ({"token_life_s": 5}, "token_life_s: Input should be greater than or equal to 60"),
        ({"token_life_s": True}, "token_life_s: Input should be a valid integer"),
        ({"more": 1}, "more: Extra inputs are not permitted"),
        ({"cert_file": ""}, "cert_file: String should have at least 1 character"),
        ({"clients": [{"client_id": "jaeger"}]}, "clients.0.secret: Field required"),
    ],
)
def test_a_mistake_in_the_settings_is_one_line(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = write(tmp_path, {**config(), **changes})
    with pytest.raises(SettingsError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)


def test_a_mistake_names_the_place_and_no_value(tmp_path: Path) -> None:
    content = config()
    content["clients"][0]["redirects"] = "hidden-value"
    with pytest.raises(SettingsError, match=r"clients\.0\.redirects: ") as caught:
        load(write(tmp_path, content))
    assert "hidden-value" not in str(caught.value)


def test_files_that_cannot_be_read_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(tmp_path / "none.json")]) == 2
    assert "cannot be read" in capsys.readouterr().err
    (tmp_path / "bad.json").write_text("{")
    assert main(["--config", str(tmp_path / "bad.json")]) == 2
    assert "Invalid JSON" in capsys.readouterr().err
