"""``obs up``: from a stack file to live pods on a cluster of one's own, and ``obs rights``: what that takes.

Nothing is changed in the cluster before configuration and cluster pass every check. While Pulumi works, the addresses
of load balancers are told as soon as they are known, since topics and Grafana's content go through their names.
Interrupted or failed, it is safe to repeat.

The account that does it is no administrator of the cluster: it changes one namespace. Whoever makes roles must have
what is in them (Kubernetes refuses more), so the rules of rendered roles are among its own.
"""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import closing
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Final, Self

import typer
import yaml
from kubernetes.client.exceptions import ApiException

from ops import config
from ops.core import health, pulumi
from ops.core import platform as platform_module
from ops.core.context import Context
from ops.core.errors import OpsError, one_line
from ops.core.kube import Kube, call_errors
from ops.core.terminal import clock, confirm
from ops.images import registry
from ops.preflight import command as preflight
from ops.preflight.addresses import Record, missing_records, own_names, resolved
from ops.preflight.demand import Cluster, Served, api_version, rendered
from ops.preflight.images import KEY, KIND, SECRETS
from ops.preflight.lines import State
from policy.model import Resource
from stacks.check import read
from stacks.settings import Settings

_MANAGER: Final = "obs"
_LIMIT_S: Final = 15


def login_file(hosts: Sequence[str]) -> str:
    """Logins at registries, as a pull secret holds them.

    Args:
        hosts: Registries with their ports.

    Raises:
        OpsError: This machine has no login at one of them.
    """
    logins = {host: registry.login(host) for host in hosts}
    if without := [host for host, pair in logins.items() if pair is None]:
        raise OpsError(
            f"--pull-secrets: this machine has no login at {', '.join(without)}: log in with the account that nodes "
            "are to have (`skopeo login HOST`, `docker login HOST`), or name its file in REGISTRY_AUTH_FILE"
        )
    pairs = {host: ":".join(pair) for host, pair in logins.items() if pair}
    return json.dumps(
        {"auths": {host: {"auth": base64.b64encode(pair.encode()).decode()} for host, pair in pairs.items()}}
    )


def apply_pull_secret(kube: Kube, name: str, content: str) -> bool:
    """Make a pull secret, or give one of this kind that there is this content.

    Args:
        kube: The platform's namespace.
        name: Of the Secret.
        content: As of `login_file`.

    Returns:
        Whether it is there: False while the namespace is not.

    Raises:
        OpsError: It may not be made, or the cluster does not answer.
    """
    body: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "type": KIND,
        "data": {KEY: base64.b64encode(content.encode()).decode()},
    }
    options: dict[str, Any] = {"field_manager": _MANAGER, "_request_timeout": _LIMIT_S}
    with call_errors(f"cannot make the Secret {name} of namespace {kube.namespace}"):
        try:
            kube.core.create_namespaced_secret(kube.namespace, body, **options)
        except ApiException as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return False
            if error.status != HTTPStatus.CONFLICT:
                raise
            kube.core.patch_namespaced_secret(name, kube.namespace, {"data": body["data"]}, **options)
    return True


HEALTHY_S: Final = 600.0
_EVERY_S: Final = 2.0
_LACKS_S: Final = 20.0
"""Who makes records by itself, such as external-dns, has this long before a person is told."""
_NEXT: Final = """next:
  python -m ops open grafana             metrics, alerts, traces: on this machine's loopback, until Ctrl-C
  python -m ops connect --layer business what a service needs to send
  python -m ops verify                   every requirement, on what is seen now"""


def up(
    context: Annotated[
        str, typer.Option("--context", help="Of your kubeconfig: the cluster, which is named in the stack file.")
    ] = "",
    stack: Annotated[str, typer.Option("--stack", help="Stack; default: the selected one.")] = "",
    from_logins: Annotated[
        bool,
        typer.Option("--pull-secrets", help="Make images.pull_secrets from this machine's logins at the registries."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Update without asking.")] = False,
) -> None:
    """Check a stack and its cluster, bring the stack up with the policy pack, and wait until all of it is healthy."""
    began = time.monotonic()
    if context:
        config.set_cluster(context=context, stack=stack)
    settings = _checked(stack, {SECRETS} if from_logins else set())
    contents = _pull_secrets(settings) if from_logins else {}
    with closing(Kube.connect(settings.namespace, context=settings.cluster.context)) as kube:
        if not yes:
            pulumi.preview_shown(stack)
            confirm(yes, "Bring it up?")
        follower = Follower(kube, settings, contents)
        try:
            with follower:
                pulumi.up_shown(stack, preview=yes)
        except OpsError as error:
            raise OpsError(f"{error}{follower.left()}") from None
        if follower.waiting:
            raise OpsError(follower.left().removeprefix("; "))
        _wait_healthy(stack)
        typer.echo(f"{settings.platform} is up after {clock(time.monotonic() - began)}{follower.left()}")
    typer.echo(_NEXT)


def _checked(stack: str, without: Collection[str]) -> Settings:
    """The settings, once nothing is missing and no check of the cluster fails.

    Args:
        stack: Empty is the selected one.
        without: Checks of what this command does itself.

    Raises:
        OpsError: Something has to be set, or the cluster lacks something; the lines before it say what.
    """
    configuration = config.of_stack(stack)
    if problems := config.problems(configuration):
        typer.echo("\n".join(problems), err=True)
        raise OpsError(f"Pulumi.{configuration.stack}.yaml: {len(problems)} to set, see above: nothing was changed")
    settings, _ = read(configuration.stack, configuration.values)
    if settings is None:
        raise OpsError(f"Pulumi.{configuration.stack}.yaml cannot be read: run `ops config check`")
    lines = [line for line in preflight.check(configuration) if line.check not in without]
    for line in lines:
        if line.state is not State.OK:
            typer.echo(f"{line.state:<5} {line.check}: {line.detail}: {line.remedy}", err=True)
    failed = sum(line.state is State.FAIL for line in lines)
    if failed:
        raise OpsError(f"the cluster lacks {failed} of {len(lines)}, see above: nothing was changed")
    typer.echo(f"Pulumi.{configuration.stack}.yaml and its cluster: {len(lines)} checks, none fails")
    return settings


def _pull_secrets(settings: Settings) -> Mapping[str, str]:
    """Pull secret -> what it has to hold."""
    images = settings.images
    if not images.pull_secrets:
        raise OpsError("--pull-secrets: settings.images.pull_secrets names none; name one there, or leave this out")
    hosts = sorted({registry.partition("/")[0] for registry in (images.registry, *images.registries.values())})
    return dict.fromkeys(images.pull_secrets, login_file(hosts))


class Follower:
    """Does beside an update what becomes possible while it runs: pull secrets once there is a namespace, and telling
    records that are missing.

    Args:
        kube: The platform's namespace, which the update makes.
        settings: Of the stack.
        contents: Pull secret -> what it has to hold.

    Attributes:
        waiting: Pull secrets that are still to be made.
    """

    def __init__(self, kube: Kube, settings: Settings, contents: Mapping[str, str]) -> None:
        self._kube, self._hosts = kube, own_names(settings)
        self.waiting = dict(contents)
        self._problem = ""
        self._since: dict[Record, float] = {}
        self._told: set[Record] = set()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="up-follower", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        self.look(time.monotonic())

    def _run(self) -> None:
        while not self._ending.wait(_EVERY_S):
            self.look(time.monotonic())

    def look(self, now: float) -> None:
        """Look once.

        Args:
            now: Time of a clock that is not set, in seconds.
        """
        try:
            for name in tuple(self.waiting):
                if apply_pull_secret(self._kube, name, self.waiting[name]):
                    del self.waiting[name]
            missing = missing_records(self._hosts, self._kube.balancers(), resolved)
        except OpsError as error:
            self._problem = one_line(error)
            return
        self._problem = ""
        self._since = {record: self._since.get(record, now) for record in missing}
        for record, since in self._since.items():
            if record not in self._told and now - since >= _LACKS_S:
                self._told.add(record)
                typer.echo(f"DNS record to make: {record}", err=True)

    def left(self) -> str:
        """The end of a message: what was not done, and what somebody has to do; as of the last look."""
        parts = [self._problem] if self._problem else []
        parts += [
            f"the Secret {name} was not made: there is no namespace" for name in self.waiting if not self._problem
        ]
        if self._since:
            parts.append(f"DNS records to make: {', '.join(map(str, self._since))}")
        return "".join(f"; {part}" for part in parts)


def _wait_healthy(stack: str) -> None:
    """Wait until every workload is ready and servers answer; what is waited for is told as it changes.

    Raises:
        OpsError: Something is not healthy in time.
    """
    platform = platform_module.load(stack=stack)
    deadline, told = time.monotonic() + HEALTHY_S, ""
    with Context(platform, Kube.of(platform)) as context:
        while True:
            bad = [f"{line.name} ({line.detail})" for line in health.check(context) if not line.healthy]
            if not bad:
                return
            state = ", ".join(bad)
            if time.monotonic() > deadline:
                raise OpsError(f"not healthy after {clock(HEALTHY_S)}: {one_line(state)}: `ops health` shows it again")
            if state != told:
                told = state
                typer.echo(f"waiting for {one_line(state)}", err=True)
            time.sleep(_EVERY_S)


_GROUP: Final = "rbac.authorization.k8s.io"
_API: Final = f"{_GROUP}/v1"
_ROLES: Final = ("Role", "ClusterRole")
_READ: Final = ("get", "list", "watch")
_ALL: Final = (*_READ, "create", "update", "patch", "delete")
_NAMELESS: Final = ("list", "watch", "create")
_OPERATED: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("", "pods"): (*_READ, "delete"),
    ("", "pods/log"): ("get",),
    ("", "pods/portforward"): ("get", "create"),
    ("", "pods/exec"): ("get", "create"),
    ("", "events"): (*_READ, "create"),
    ("", "endpoints"): _READ,
    ("discovery.k8s.io", "endpointslices"): _READ,
    ("", "persistentvolumeclaims"): (*_READ, "patch"),
    ("apps", "replicasets"): _READ,
    ("apps", "controllerrevisions"): _READ,
    ("apps", "statefulsets/scale"): ("get", "patch"),
    ("batch", "jobs"): (*_READ, "create", "delete"),
}
"""Group and resource -> verbs: what Pulumi waits by and `ops` works with, besides the objects that are rendered."""
_SEEN: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("", "nodes"): ("list",),
    ("", "pods"): ("list",),
    ("apps", "daemonsets"): ("list",),
    ("apps", "deployments"): ("list",),
    ("storage.k8s.io", "storageclasses"): ("get", "list"),
    ("storage.k8s.io", "csidrivers"): ("list",),
    ("scheduling.k8s.io", "priorityclasses"): ("list",),
}
"""What `ops preflight` looks at in the whole cluster; it says where it may not."""
_SERVICES: Final = ("kubernetes", "kube-dns")
_PLUGINS: Final = ("cilium-config", "amazon-vpc-cni")
"""ConfigMaps which say whether a network plug-in enforces policies."""
_SUBJECT: Final = re.compile(r"(?P<kind>user|group|account):(?P<name>\S+)")


def manifests(
    namespace: str, resources: Iterable[Resource], served: Mapping[tuple[str, str], Served], subject: Mapping[str, str]
) -> list[dict[str, Any]]:
    """The namespace, a role in it, a role of the cluster, and a binding of each.

    Args:
        namespace: Where the platform is.
        resources: What the program makes.
        served: API version and kind -> what serves it.
        subject: Of the bindings, as RBAC writes it.

    Raises:
        OpsError: The cluster does not serve a kind that is rendered.
    """
    name = f"{namespace}-installer"
    inside: list[dict[str, Any]] = [_rule(*place, verbs) for place, verbs in _OPERATED.items()]
    outside: list[dict[str, Any]] = [_rule(*place, verbs) for place, verbs in _SEEN.items()]
    outside.append(_rule("", "namespaces", ("get",), ("kube-system",)))
    outside.append(_rule("", "services", ("get",), _SERVICES))
    outside.append(_rule("", "configmaps", ("get",), _PLUGINS))
    unknown = []
    for resource in resources:
        if not resource.kubernetes:
            continue
        version = api_version(resource)
        known = served.get((version, resource.kind))
        if known is None:
            unknown.append(f"{resource.kind} of {version}")
        elif known.namespaced:
            inside.append(_rule(known.group, known.resource, _ALL))
        else:
            # Who creates has no name yet, and who waits for an end watches all of a kind.
            outside.append(_rule(known.group, known.resource, _NAMELESS))
            changes = tuple(verb for verb in _ALL if verb not in _NAMELESS)
            outside.append(_rule(known.group, known.resource, changes, (resource.object_name,)))
        if resource.kind in _ROLES:
            rules = inside if resource.kind == "Role" else outside
            rules.extend(resource.props["rules"])
            # A preview binds it, without a change, before it is there to be compared with what the account may do.
            rules.append(_rule(_GROUP, f"{resource.kind.lower()}s", ("bind",), (resource.object_name,)))
    if unknown:
        raise OpsError(f"the cluster does not serve {', '.join(sorted(set(unknown)))}: install what serves it")
    metadata = {"name": name}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        _role("Role", metadata | {"namespace": namespace}, inside),
        _binding("Role", metadata | {"namespace": namespace}, subject),
        _role("ClusterRole", metadata, outside),
        _binding("ClusterRole", metadata, subject),
    ]


def _rule(group: str, resource: str, verbs: Iterable[str], names: Iterable[str] = ()) -> dict[str, Any]:
    only = {"resourceNames": list(names)} if names else {}
    return {"apiGroups": [group], "resources": [resource], **only, "verbs": list(verbs)}


def _role(kind: str, metadata: Mapping[str, Any], rules: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """A role with each rule once, those of the same verbs together."""
    together: dict[tuple[Any, ...], set[str]] = {}
    for rule in rules:
        key = (tuple(rule["apiGroups"]), tuple(rule.get("resourceNames", ())), tuple(rule["verbs"]))
        together.setdefault(key, set()).update(rule["resources"])
    merged = [
        {"apiGroups": list(groups), "resources": sorted(resources), "verbs": list(verbs)}
        | ({"resourceNames": list(names)} if names else {})
        for (groups, names, verbs), resources in sorted(together.items())
    ]
    return {"apiVersion": _API, "kind": kind, "metadata": dict(metadata), "rules": merged}


def _binding(kind: str, metadata: Mapping[str, Any], subject: Mapping[str, str]) -> dict[str, Any]:
    role = {"apiGroup": _GROUP, "kind": kind, "name": metadata["name"]}
    return {
        "apiVersion": _API,
        "kind": f"{kind}Binding",
        "metadata": dict(metadata),
        "roleRef": role,
        "subjects": [dict(subject)],
    }


def subject_of(text: str) -> dict[str, str]:
    """``user:NAME``, ``group:NAME`` or ``account:NAMESPACE/NAME`` as RBAC writes it.

    Raises:
        OpsError: It is none of them.
    """
    named = _SUBJECT.fullmatch(text)
    if named and named["kind"] != "account":
        return {"apiGroup": _GROUP, "kind": named["kind"].capitalize(), "name": named["name"]}
    namespace, _, name = named["name"].partition("/") if named else ("", "", "")
    if not namespace or not name:
        raise OpsError(f"--subject is {text}: allowed is user:NAME, group:NAME, account:NAMESPACE/NAME")
    return {"kind": "ServiceAccount", "namespace": namespace, "name": name}


def rights(
    subject: Annotated[str, typer.Option("--subject", help="user:NAME, group:NAME or account:NAMESPACE/NAME.")],
    file: Annotated[Path | None, typer.Option("--file", help="Stack file.")] = None,
    stack: Annotated[str, typer.Option("--stack", help="Stack; default: the selected one.")] = "",
) -> None:
    """Print the roles with which an account that is no administrator brings the stack up, and operates it."""
    whose = subject_of(subject)
    configuration = config.chosen(file, stack)
    settings, problems = read(configuration.stack, configuration.values)
    if settings is None:
        raise OpsError(f"{problems[0]}: run `ops config check`")
    resources = rendered(configuration)
    kube = Kube.connect(settings.namespace, context=settings.cluster.context)
    try:
        served = served_kinds(Cluster(kube), resources)
    finally:
        kube.close()
    typer.echo(yaml.safe_dump_all(manifests(settings.namespace, resources, served, whose), sort_keys=False), nl=False)


def served_kinds(cluster: Cluster, resources: Iterable[Resource]) -> dict[tuple[str, str], Served]:
    """API version and kind -> what serves it, of every API version that is rendered."""
    versions = {api_version(resource) for resource in resources if resource.kubernetes}
    return {(version, kind): entry for version in sorted(versions) for kind, entry in cluster.served(version).items()}
