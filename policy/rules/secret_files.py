"""How pods get secrets: as read-only files that only their own user reads."""

from __future__ import annotations

from collections.abc import Iterator

from policy.model import Finding, Level, Node, Options, Resource, Rule
from policy.rules._kubernetes import WORKLOADS, at, containers, name_of, number, state, template

_MOST = 0o440


def _mode(node: Node) -> str:
    """A file mode in words; a missing one is the default of Kubernetes."""
    value = number(node.value)
    return "is missing, so 0644" if value is None else f"is 0{int(value):o}"


def _modes(resource: Resource, options: Options) -> Iterator[Finding]:
    for volume in template(resource)["spec"]["volumes"].elements():
        parts = [volume["secret"]] if volume["secret"].exists else []
        secret_inside = any(node["secret"].exists for node in volume["projected"]["sources"].elements())
        parts += [volume["projected"]] if secret_inside else []
        for part in parts:
            yield from _too_open(resource, volume, part["defaultMode"], missing_is_open=True)
            for item in part["items"].elements():
                yield from _too_open(resource, volume, item["mode"], missing_is_open=False)


def _too_open(resource: Resource, volume: Node, mode: Node, *, missing_is_open: bool) -> Iterator[Finding]:
    bits = number(mode.value)
    if (missing_is_open and bits is None) or (bits is not None and int(bits) & ~_MOST):
        key = mode.path.rsplit(".", 1)[-1]
        yield at(
            resource, mode, f"{key} of secret volume {volume['name'].text()} {_mode(mode)}", "set it to 0440 or less"
        )


def _mounts(resource: Resource, options: Options) -> Iterator[Finding]:
    pod = template(resource)["spec"]
    secret = {
        volume["name"].text()
        for volume in pod["volumes"].elements()
        if volume["secret"].exists or any(node["secret"].exists for node in volume["projected"]["sources"].elements())
    }
    for container in containers(pod):
        for mount in container["volumeMounts"].elements():
            if mount["name"].text() in secret and mount["readOnly"].value is not True:
                yield at(
                    resource,
                    mount["readOnly"],
                    f"readOnly of {mount['name'].text()} in {name_of(container)} {state(mount['readOnly'].raw)}",
                    "set it to true",
                )


def _variables(resource: Resource, options: Options) -> Iterator[Finding]:
    for container in containers(template(resource)["spec"]):
        for variable in container["env"].elements():
            reference = variable["valueFrom"]["secretKeyRef"]
            if reference.exists:
                yield at(
                    resource,
                    reference,
                    f"{variable['name'].text()} of {name_of(container)} comes from a Secret",
                    "mount the Secret as a file where the program can read one",
                )
        for source in container["envFrom"].elements():
            if source["secretRef"].exists:
                yield at(
                    resource,
                    source["secretRef"],
                    f"{name_of(container)} gets a whole Secret as variables",
                    "mount the Secret as files where the program can read them",
                )


RULES = (
    Rule(
        id="secret-file-mode",
        promise="Files of Secrets are readable by the pod's user and group alone.",
        why="Any other process in the pod could read or change them.",
        sources=("K5", "P2"),
        kinds=WORKLOADS,
        resource=_modes,
    ),
    Rule(
        id="secret-mount-read-only",
        promise="Secrets are mounted read-only.",
        why="A container that may write there can hide what it did, or give its neighbour another key.",
        sources=("K5", "P2"),
        kinds=WORKLOADS,
        resource=_mounts,
    ),
    Rule(
        id="secret-as-variable",
        promise="Programs read secrets from files, not from variables.",
        why="Variables are inherited by child processes, end up in crash reports, and need a restart to change.",
        sources=("K5", "P2"),
        level=Level.ADVISORY,
        kinds=WORKLOADS,
        resource=_variables,
    ),
)
"""Rules of this concern."""
