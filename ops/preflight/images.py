"""Images: the Secrets that nodes pull them with, and whether registries have them, asked from this machine."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from fnmatch import fnmatchcase
from typing import Any, Final

from ops.core.errors import OpsError
from ops.images.registry import LoginError, Registry, login
from ops.preflight.demand import Cluster, Demand
from ops.preflight.lines import Line, fail, ok, some, warn

CHECK: Final = "images"
SECRETS: Final = "pull secrets"
KIND: Final = "kubernetes.io/dockerconfigjson"
KEY: Final = ".dockerconfigjson"
_HUB: Final = "docker.io"
_HUB_LOGIN: Final = "index.docker.io"
_LATEST: Final = "latest"
_SHOWN: Final = len("sha256:") + 12
_TOGETHER: Final = 6
_CALL_S: Final = 8.0
_ALL_S: Final = 45.0
"""Seconds for one answer of a registry, and for all that is asked of them."""

Pair = tuple[str, str]
_NOBODY: Final[Sequence[Pair | None]] = (None,)


@dataclass(frozen=True, kw_only=True)
class Reference:
    """An image as a pod names it.

    Attributes:
        host: Registry with its port.
        repository: Below it.
        tag, digest: Empty where there is none.
    """

    host: str
    repository: str
    tag: str
    digest: str

    def __str__(self) -> str:
        tag, digest = (f":{self.tag}" if self.tag else ""), self.digest[:_SHOWN]
        return f"{self.repository}{tag}{f'@{digest}' if digest else ''}"


def reference(text: str) -> Reference:
    """Take a reference apart; one without a registry is of docker.io."""
    name, _, digest = text.partition("@")
    host, _, path = name.partition("/")
    if not path or not (set(".:") & set(host) or host == "localhost"):
        host, path = _HUB, name
    repository, _, tag = path.partition(":")
    return Reference(host=host, repository=repository, tag=tag, digest=digest)


def pull_secrets(cluster: Cluster, demand: Demand) -> Line:
    """Secrets that images are pulled with are there and have logins, or have to be made once the namespace is."""
    names, namespace = sorted(demand.pull_secrets), demand.namespace
    if not names:
        return ok(SECRETS, "none is asked for: nodes read the registry as they are")
    if not cluster.exists(f"/api/v1/namespaces/{namespace}"):
        return warn(
            SECRETS,
            f"the namespace {namespace} is not there yet",
            f"make {', '.join(names)} in it as soon as the update has made it; `python -m ops up --pull-secrets` does",
        )
    secrets = _secrets(cluster, demand)
    remedy = f"kubectl -n {namespace} create secret docker-registry {{}} ..."
    if missing := [name for name in names if name not in secrets]:
        return fail(SECRETS, f"there is no {', '.join(missing)} in {namespace}", remedy.format(missing[0]))
    others = {name: str(secret.get("type")) for name, secret in secrets.items() if secret.get("type") != KIND}
    if others:
        told = ", ".join(f"{name} is of type {kind}" for name, kind in others.items())
        first = next(iter(others))
        return fail(
            SECRETS,
            f"{told}: nodes take {KIND}",
            f"the type cannot be changed: delete it, then {remedy.format(first)}",
        )
    images = [reference(text) for text in demand.images]
    bare = sorted({image.host for image in images if not _pairs(secrets, image)})
    detail = f"no login for {', '.join(bare)} in {', '.join(names)}"
    if bare and len(bare) == len({image.host for image in images}):
        return fail(SECRETS, detail, f"make it anew with that host: {remedy.format(names[0])}")
    if bare:
        return warn(SECRETS, detail, "right where that registry lets everybody read, else add the host")
    return ok(SECRETS, f"{', '.join(names)} there")


def _secrets(cluster: Cluster, demand: Demand) -> dict[str, Mapping[str, Any]]:
    """Name -> pull Secret, of those that are there."""
    path = f"/api/v1/namespaces/{demand.namespace}/secrets"
    secrets = {name: cluster.read(f"{path}/{name}") for name in sorted(demand.pull_secrets)}
    return {name: secret for name, secret in secrets.items() if secret is not None}


def _pairs(secrets: Mapping[str, Mapping[str, Any]], image: Reference) -> list[Pair]:
    """Logins for an image in Secrets, which nodes try one after the other."""
    pairs = []
    for secret in secrets.values():
        try:
            auths = json.loads(base64.b64decode(secret["data"][KEY]))["auths"].items()
        except (KeyError, ValueError, TypeError, AttributeError):
            continue
        pairs += [pair for key, entry in auths if _is_for(key, image) and (pair := _pair(entry))]
    return pairs


def _is_for(key: str, image: Reference) -> bool:
    """Whether a node takes an entry of a Secret for an image: hosts may have ``*``, and a path narrows them."""
    host, _, path = re.sub(r"^https?://|/(v[12]/?)?$", "", key).partition("/")
    named, wanted = host.split("."), image.host.split(".")
    if image.host == _HUB and host == _HUB_LOGIN:
        named = wanted
    alike = len(named) == len(wanted) and all(map(fnmatchcase, wanted, named))
    return alike and image.repository.startswith(path)


def _pair(entry: Any) -> Pair | None:
    """User and password of an entry, or None where it has none that can be read."""
    try:
        if entry.get("auth"):
            user, colon, password = base64.b64decode(entry["auth"]).decode().partition(":")
            return (user, password) if colon else None
        return str(entry["username"]), str(entry["password"])
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


class _Answer(Enum):
    THERE = auto()
    ABSENT = auto()
    REFUSED = auto()
    UNKNOWN = auto()


@dataclass(frozen=True, kw_only=True)
class _Result:
    """An image, and what its registry said.

    Attributes:
        image: The image.
        answer: What was said.
        detail: What the registry refuses, or why nothing is known.
    """

    image: Reference
    answer: _Answer
    detail: str = ""


class _Registries:
    """Asks registries for manifests, and none again that did not answer.

    Args:
        secrets: Name -> pull Secret; empty: with this machine's logins.
    """

    def __init__(self, secrets: Mapping[str, Mapping[str, Any]]) -> None:
        self._secrets = secrets
        self._silent: dict[str, str] = {}
        self.whose = f"the login of {', '.join(secrets)}" if secrets else "this machine's login"

    def ask(self, image: Reference) -> _Result:
        """Ask for one image, with one login after the other."""
        if image.host in self._silent:
            return _Result(image=image, answer=_Answer.UNKNOWN, detail=self._silent[image.host])
        try:
            pairs = self._pairs(image)
            for pair in pairs or _NOBODY:
                with suppress(LoginError):
                    there = _has(image, pair)
                    return _Result(image=image, answer=_Answer.THERE if there else _Answer.ABSENT)
        except OpsError as error:
            # The rest is of the library, and long.
            self._silent[image.host] = str(error).partition(": ")[0]
            return _Result(image=image, answer=_Answer.UNKNOWN, detail=self._silent[image.host])
        detail = f"refuses {self.whose}" if pairs else "wants a login"
        return _Result(image=image, answer=_Answer.REFUSED, detail=detail)

    def _pairs(self, image: Reference) -> Sequence[Pair]:
        if self._secrets:
            return _pairs(self._secrets, image)
        pair = login(image.host)
        return [pair] if pair else []


def _has(image: Reference, pair: Pair | None) -> bool:
    registry = Registry(image.host, find_login=lambda _: pair, limit_s=_CALL_S)
    return registry.has(image.repository, image.digest or image.tag or _LATEST)


def in_registries(cluster: Cluster, demand: Demand) -> Iterator[Line]:
    """Registries have what pods will pull, and take the login that nodes have; what is not reached is a warning."""
    images = [reference(text) for text in demand.images]
    secrets = _secrets(cluster, demand)
    registries = _Registries(secrets)
    pool = ThreadPoolExecutor(_TOGETHER)
    try:
        futures = {pool.submit(registries.ask, image): image for image in images}
        done, late = wait(futures, timeout=_ALL_S)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    answers = [future.result() for future in done]
    answers += [
        _Result(image=futures[future], answer=_Answer.UNKNOWN, detail=f"no answer within {_ALL_S:.0f} s")
        for future in late
    ]
    lines = [*_absent(answers), *_refused(answers, bool(secrets)), *_unknown(answers)]
    hosts = ", ".join(sorted({image.host for image in images}))
    yield from lines or [ok(CHECK, f"{len(images)} in {hosts}, asked with {registries.whose}")]


def _of(answers: Sequence[_Result], kind: _Answer) -> dict[str, list[_Result]]:
    """Registry -> its answers of a kind."""
    listed = sorted((answer for answer in answers if answer.answer is kind), key=lambda answer: str(answer.image))
    hosts = sorted({answer.image.host for answer in listed})
    return {host: [answer for answer in listed if answer.image.host == host] for host in hosts}


def _absent(answers: Sequence[_Result]) -> Iterator[Line]:
    for host, those in _of(answers, _Answer.ABSENT).items():
        yield fail(
            CHECK,
            f"not in {host}: {some([str(answer.image) for answer in those])}",
            "`python -m ops images push` and `mirror` send them, `digests --write` names what is there",
        )


def _refused(answers: Sequence[_Result], secrets: bool) -> Iterator[Line]:
    for host, those in _of(answers, _Answer.REFUSED).items():
        detail = f"{host} {those[0].detail}: {some([str(answer.image) for answer in those])}"
        if secrets:
            remedy = "give it a login that may read these repositories, which have to be there: `python -m ops up "
            yield fail(CHECK, detail, f"{remedy}--pull-secrets` writes this machine's")
        else:
            yield warn(
                CHECK,
                detail,
                "right where nodes read it as they are, else name their login in settings.images.pull_secrets",
            )


def _unknown(answers: Sequence[_Result]) -> Iterator[Line]:
    those = [answer for group in _of(answers, _Answer.UNKNOWN).values() for answer in group]
    if those:
        reasons = list(dict.fromkeys(answer.detail for answer in those))
        yield warn(
            CHECK,
            f"{len(those)} of {len(answers)} not looked at: {some(reasons)}",
            "nodes may reach it all the same: `crictl pull IMAGE` on one tells, or run this where the registry answers "
            "(its own authority: /etc/containers/certs.d/HOST/ca.crt)",
        )
