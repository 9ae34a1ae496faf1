"""Signing in to read traces as a person does: with a browser, and by hand to get hold of the token."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from functools import cache
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import requests

from components.login_proxy import callback_url
from lab.fakes.identity import setup as identity
from lab.paths import LabPaths
from ops.core.context import Context
from ops.core.platform import Login

_TIMEOUT = 15


def browser(context: Context) -> requests.Session:
    """A session with cookies of its own that trusts the platform and its identity provider."""
    session = requests.Session()
    session.trust_env = False
    session.verify = str(_trusted(context))
    return session


@cache
def _trusted(context: Context) -> Path:
    """One file with the platform's authority and that of the identity provider outside of it."""
    file = Path(context.ca_file).with_name("platform-and-identity.pem")
    file.write_text(f"{Path(context.ca_file).read_text()}\n{identity.authority(LabPaths.of_checkout()).read_text()}")
    return file


def sign_in(context: Context, session: requests.Session, clearance: str, person: Login) -> requests.Response:
    """Open the UI of a clearance, fill the login form in, follow back; where that ends."""
    return fill_in(session, f"{context.platform.trace_query_urls[clearance]}/search", person)


def fill_in(session: requests.Session, url: str, person: Login) -> requests.Response:
    """Open a page behind a login, fill the form in, follow back; where that ends."""
    form = session.get(url, timeout=_TIMEOUT)
    assert form.status_code == 200, f"the login form is answered {form.status_code}"
    fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form.text))
    assert fields["code_challenge_method"] == "S256"
    user, password = person.pair
    target = re.sub(r"[?].*", "", form.url)
    return session.post(target, data={**fields, "username": user, "password": password}, timeout=_TIMEOUT)


def token_of(context: Context, person: Login, clearance: str) -> str:
    """A person's own token: what the login proxy of a clearance gets from the provider, taken out of its hands."""
    login = context.platform.trace_login
    assert login is not None, "the stack has no login for tools"
    redirect = callback_url(context.platform.trace_query_urls[clearance])
    verifier = secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    user, password = person.pair
    with browser(context) as session:
        back = session.post(
            f"{login.issuer}/authorize",
            data={
                "client_id": identity.CLIENT,
                "redirect_uri": redirect,
                "response_type": "code",
                "scope": "openid email profile groups",
                "state": secrets.token_urlsafe(12),
                "code_challenge": challenge,
                "code_challenge_method": "S256",
                "username": user,
                "password": password,
            },
            timeout=_TIMEOUT,
            allow_redirects=False,
        )
        assert back.status_code == 303, f"the login of {user} is answered {back.status_code}"
        answer = session.post(
            f"{login.issuer}/token",
            data={
                "grant_type": "authorization_code",
                "code": parse_qs(urlparse(back.headers["Location"]).query)["code"][0],
                "redirect_uri": redirect,
                "code_verifier": verifier,
            },
            auth=(identity.CLIENT, identity.client_secret(LabPaths.of_checkout())),
            timeout=_TIMEOUT,
        )
    assert answer.status_code == 200, f"the provider answered {answer.status_code}"
    return str(answer.json()["id_token"])
