"""Configuration as a pod really has it: files of the ConfigMaps and Secrets that it mounts, variables above them."""

from __future__ import annotations

import base64
import configparser
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from kubernetes.client.exceptions import ApiException

from ops.core.errors import OpsError, one_line
from ops.core.kube import Kube

_TIMEOUT_SECONDS = 15
_TOP = "before the first section"
DEFAULTS: Mapping[tuple[str, str], str] = {
    ("database", "type"): "sqlite3",
    ("database", "ssl_mode"): "disable",
    ("unified_alerting", "enabled"): "true",
    ("auth.ldap", "enabled"): "false",
    ("auth.anonymous", "enabled"): "false",
    ("users", "allow_sign_up"): "false",
    ("snapshots", "enabled"): "true",
    ("public_dashboards", "enabled"): "true",
}
"""What Grafana takes where nothing is set, of the settings that checks look at."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Grafana's settings.

    Attributes:
        sections: Section -> key -> value of ``grafana.ini``.
        variables: Environment of the container: ``GF_<SECTION>_<KEY>`` goes before the file.
    """

    sections: Mapping[str, Mapping[str, str]]
    variables: Mapping[str, str] = field(default_factory=dict)

    def of(self, section: str, key: str) -> str:
        """A setting that counts; empty where nothing is set and no default is known."""
        name = f"GF_{section}_{key}".upper().replace(".", "_").replace("-", "_")
        given = self.variables.get(name) or self.sections.get(section, {}).get(key, "")
        return given or DEFAULTS.get((section, key), "")


def grafana_settings(kube: Kube, pod: str) -> Settings:
    """What a replica of Grafana runs with.

    Raises:
        OpsError: It mounts no ``grafana.ini``, or the file is none.
    """
    return Settings(sections=ini(file_of(kube, pod, "grafana.ini")), variables=variables_of(kube, pod))


def variables_of(kube: Kube, pod: str) -> dict[str, str]:
    """Variables of a pod's containers whose values stand in the pod itself."""
    with _errors(pod):
        manifest = kube.core.read_namespaced_pod(pod, kube.namespace, _request_timeout=_TIMEOUT_SECONDS)
    return {
        variable.name: variable.value
        for container in manifest.spec.containers
        for variable in container.env or []
        if variable.value
    }


def file_of(kube: Kube, pod: str, name: str) -> str:
    """Text of a file that a pod mounts.

    Args:
        kube: The namespace.
        pod: Name of the pod.
        name: Name of the file, without its folder.

    Raises:
        OpsError: The pod mounts no such file, or it cannot be read.
    """
    with _errors(pod):
        manifest = kube.core.read_namespaced_pod(pod, kube.namespace, _request_timeout=_TIMEOUT_SECONDS)
        for kind, source in _sources(manifest.spec.volumes or []):
            text = _config_map(kube, source, name) if kind == "ConfigMap" else _secret(kube, source, name)
            if text is not None:
                return text
    raise OpsError(f"{pod} mounts no ConfigMap or Secret with a file {name}")


def _sources(volumes: list[Any]) -> Iterator[tuple[str, str]]:
    for volume in volumes:
        if volume.config_map:
            yield "ConfigMap", volume.config_map.name
        if volume.secret:
            yield "Secret", volume.secret.secret_name
        for source in (volume.projected.sources or []) if volume.projected else []:
            if source.config_map:
                yield "ConfigMap", source.config_map.name
            if source.secret:
                yield "Secret", source.secret.name


def _config_map(kube: Kube, source: str, name: str) -> str | None:
    config_map = kube.core.read_namespaced_config_map(source, kube.namespace, _request_timeout=_TIMEOUT_SECONDS)
    return (config_map.data or {}).get(name)


def _secret(kube: Kube, source: str, name: str) -> str | None:
    secret = kube.core.read_namespaced_secret(source, kube.namespace, _request_timeout=_TIMEOUT_SECONDS)
    text = (secret.data or {}).get(name)
    return None if text is None else base64.b64decode(text).decode()


@contextmanager
def _errors(pod: str) -> Iterator[None]:
    try:
        yield
    except ApiException as error:
        raise OpsError(f"cannot read what {pod} runs with: HTTP {error.status} {one_line(error.reason)}") from None


def ini(text: str) -> dict[str, dict[str, str]]:
    """Read Grafana's own format, in which keys may stand before the first section.

    Raises:
        OpsError: It is none.
    """
    parser = configparser.RawConfigParser(strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(f"[{_TOP}]\n{text}")
    except configparser.Error as error:
        raise OpsError(f"grafana.ini cannot be read: {one_line(error)}") from None
    return {section: dict(parser.items(section)) for section in parser.sections()}


def toml(text: str) -> Mapping[str, Any]:
    """Read TOML.

    Raises:
        OpsError: It is none.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise OpsError(f"ldap.toml cannot be read: {one_line(error)}") from None
