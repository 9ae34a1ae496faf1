"""Logins at registries, where docker, podman, buildah and skopeo keep them."""

from __future__ import annotations

import base64
import binascii
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ops.core.errors import OpsError

_HELPER_LIMIT_S = 30
_DOCKER_HUB = ("https://index.docker.io/v1/", "index.docker.io", "registry-1.docker.io")
"""Names under which a login at docker.io is kept besides."""


def files() -> Iterator[Path]:
    """Files that may hold logins, in the order in which the tools look."""
    home = Path.home()
    if named := os.environ.get("REGISTRY_AUTH_FILE"):
        yield Path(named)
    yield Path(os.environ.get("XDG_RUNTIME_DIR", f"/run/containers/{os.getuid()}")) / "containers" / "auth.json"
    yield Path(f"/run/containers/{os.getuid()}/auth.json")
    yield home / ".config" / "containers" / "auth.json"
    yield Path(os.environ.get("DOCKER_CONFIG", home / ".docker")) / "config.json"


def login(host: str) -> tuple[str, str] | None:
    """User and password for a registry, or None where nobody has logged in.

    Args:
        host: Registry with its port.

    Raises:
        OpsError: A file or a credential helper cannot be used.
    """
    hosts = (host, f"https://{host}", *(_DOCKER_HUB if host == "docker.io" else ()))
    for file in files():
        content = _content(file)
        for key, entry in content.get("auths", {}).items():
            if key.rstrip("/") in {name.rstrip("/") for name in hosts} and entry.get("auth"):
                return _decoded(entry["auth"], file)
        helpers = content.get("credHelpers", {})
        for name in hosts:
            helper = helpers.get(name) or content.get("credsStore")
            if helper and (pair := _helped(helper, name)):
                return pair
    return None


def _content(file: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise OpsError(f"{file} cannot be read: {error}") from None
    return content if isinstance(content, dict) else {}


def _decoded(auth: str, file: Path) -> tuple[str, str]:
    try:
        user, _, password = base64.b64decode(auth, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise OpsError(f"{file} holds a login that cannot be read: log in again") from None
    return user, password


def _helped(helper: str, host: str) -> tuple[str, str] | None:
    """What a credential helper says; it fails where it has no login, which is no mistake."""
    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run(
            [program, "get"], input=host, capture_output=True, text=True, timeout=_HELPER_LIMIT_S, check=False
        )
        answer = json.loads(done.stdout) if done.returncode == 0 else {}
    except FileNotFoundError:
        raise OpsError(f"the login at {host} is kept by {program}, which is not on PATH: install it") from None
    except (subprocess.TimeoutExpired, ValueError):
        raise OpsError(f"{program} gave no login for {host}: log in again") from None
    return (answer["Username"], answer["Secret"]) if {"Username", "Secret"} <= set(answer) else None
