"""Documents attached to an image in its registry: with the list of referrers that the registry makes, and without."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from ops.core.errors import OpsError
from ops.images.registry import INDEX, MANIFEST, Registry, attach, digest_of

KIND = "application/vnd.cyclonedx+json"
IMAGE = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": {"digest": "sha256:c"}}).encode()
SUBJECT = digest_of(IMAGE)
TAG = SUBJECT.replace(":", "-")
CONTENT = b'{"bomFormat": "CycloneDX"}'
PATH = "/v2/team/obs/services"

Override = Callable[[str, str], requests.Response | None]


def answered(status: int, content: bytes = b"", **headers: str) -> requests.Response:
    response = requests.Response()
    response.status_code, response._content = status, content
    response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return response


class Fake:
    """A registry with an image; it answers what `Registry` sends over its session.

    Attributes:
        lists: Whether it lists referrers itself.
        override: Answers in its place, where it answers anything.
    """

    def __init__(self, *, lists: bool, override: Override = lambda _method, _path: None) -> None:
        self.manifests: dict[str, tuple[str, bytes]] = {SUBJECT: (MANIFEST, IMAGE)}
        self.blobs: dict[str, bytes] = {}
        self.calls: list[tuple[str, str]] = []
        self.logins: list[str | None] = []
        self.lists, self.override = lists, override

    def request(self, method: str, url: str, **sent: Any) -> requests.Response:
        parts = urlsplit(url)
        path = parts.path.removeprefix(PATH)
        self.calls.append((method, path))
        self.logins.append(sent["headers"].get("Authorization"))
        answer = self.override(method, path)
        # An answer of 400 and more is false.
        answer = self._answer(method, path, sent) if answer is None else answer
        answer.request = requests.Request(method, url).prepare()
        return answer

    def _answer(self, method: str, path: str, sent: dict[str, Any]) -> requests.Response:
        reference = path.rpartition("/")[2]
        if path.startswith("/manifests/") and method == "PUT":
            kind, content = sent["headers"]["Content-Type"], sent["data"]
            self.manifests[reference] = self.manifests[digest_of(content)] = kind, content
            return answered(201, **({"OCI_Subject": SUBJECT} if self.lists and kind == MANIFEST else {}))
        if path.startswith("/manifests/"):
            kind, content = self.manifests.get(reference, ("", b""))
            return answered(200, content, Content_Type=kind) if kind else answered(404)
        if method == "HEAD":
            return answered(200 if reference in self.blobs else 404)
        if method == "POST":
            return answered(202, Location=f"{PATH}/blobs/uploads/1?state=x")
        self.blobs[sent["params"]["digest"]] = sent["data"]
        return answered(201)


def registry(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> Registry:
    opened = Registry("r.example/team", find_login=lambda _host: ("user", "password"))
    monkeypatch.setattr(opened._session, "request", fake.request)
    return opened


def attached(target: Registry, content: bytes = CONTENT) -> str:
    return attach(target, "obs/services", SUBJECT, kind=KIND, name="services.cdx.json", content=content)


@pytest.mark.parametrize("lists", [True, False])
def test_a_document_refers_to_the_image_by_digest(lists: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake(lists=lists)
    target = registry(fake, monkeypatch)
    digest = attached(target)
    kind, text = fake.manifests[digest]
    artifact = json.loads(text)
    assert (kind, artifact["artifactType"]) == (MANIFEST, KIND)
    assert artifact["subject"] == {"mediaType": MANIFEST, "digest": SUBJECT, "size": len(IMAGE)}
    [layer] = artifact["layers"]
    assert (layer["mediaType"], fake.blobs[layer["digest"]]) == (KIND, CONTENT)
    assert fake.blobs[artifact["config"]["digest"]] == b"{}"
    listed = {"mediaType": MANIFEST, "digest": digest, "size": len(text), "artifactType": KIND}
    if lists:
        assert TAG not in fake.manifests
    else:
        assert fake.manifests[TAG][0] == INDEX
        assert json.loads(fake.manifests[TAG][1])["manifests"] == [listed]
    before = dict(fake.manifests), len(fake.calls)
    assert attached(target) == digest
    assert fake.manifests == before[0]
    assert "POST" not in [method for method, _ in fake.calls[before[1] :]]


def test_what_others_attached_stays_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake(lists=False)
    target = registry(fake, monkeypatch)
    digests = [attached(target), attached(target, b"{}")]
    assert [entry["digest"] for entry in json.loads(fake.manifests[TAG][1])["manifests"]] == digests


def test_the_login_is_sent_to_the_registry_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake(lists=True)

    def elsewhere(method: str, path: str) -> requests.Response | None:
        if fake.logins[-1] is None and path != "/upload":
            return answered(401, WWW_Authenticate='Basic realm="images"')
        return answered(202, Location="https://store.example/upload?signature=x") if method == "POST" else None

    fake.override = elsewhere
    attached(registry(fake, monkeypatch))
    logins = dict(zip(fake.calls, fake.logins, strict=True))
    assert logins["PUT", "/upload"] is None
    assert all(login for (_, path), login in logins.items() if path != "/upload")


def test_a_token_is_for_what_is_done_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    fake, scopes = Fake(lists=True), list[str]()
    challenge = 'Bearer realm="https://login.example/token",service="r"'

    def tokens(method: str, path: str) -> requests.Response | None:
        if path == "/token":
            return answered(200, b'{"token": "t"}')
        return answered(401, WWW_Authenticate=challenge) if fake.logins[-1] is None else None

    def request(method: str, url: str, **sent: Any) -> requests.Response:
        scopes.extend([sent["params"]["scope"]] if "scope" in sent["params"] else [])
        return fake.request(method, url, **sent)

    fake.override = tokens
    target = registry(fake, monkeypatch)
    monkeypatch.setattr(target._session, "request", request)
    attached(target)
    assert scopes == ["repository:team/obs/services:pull", "repository:team/obs/services:pull,push"]


@pytest.mark.parametrize(
    ("method", "beginning", "answer", "message"),
    [
        ("POST", "/blobs/", answered(405, b"no"), f"answered 405 to POST {PATH}/blobs/uploads/: no"),
        (
            "PUT",
            "/manifests/",
            answered(400, b"bad\nbody"),
            rf"answered 400 to PUT {PATH}/manifests/sha256:\w+: bad body",
        ),
        ("POST", "/blobs/", answered(202, Location="http://r.example/x"), "names an address without TLS: http://r.ex"),
        ("POST", "/blobs/", answered(403), "refuses the login to team/obs/services: run `TOOL login r.example`"),
        ("GET", "/manifests/sha256:", answered(404), f"has no obs/services@{SUBJECT}"),
        (
            "GET",
            "/manifests/sha256-",
            answered(200, IMAGE, Content_Type=MANIFEST),
            f"obs/services:{TAG} is no list of referrers: remove this tag",
        ),
    ],
)
def test_a_refusal_is_one_line(
    method: str, beginning: str, answer: requests.Response, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(called: str, path: str) -> requests.Response | None:
        return answer if called == method and path.startswith(beginning) else None

    with pytest.raises(OpsError, match=message) as failure:
        attached(registry(Fake(lists=False, override=refuse), monkeypatch))
    assert "\n" not in str(failure.value)
