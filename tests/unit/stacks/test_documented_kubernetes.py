"""What a page tells to type after `kubectl` names what some stack deploys, and shows all that it is to show."""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from tests.support import engine
from tests.unit.stacks.test_documented_pulumi import CHECKOUT, pages

APP = "app.kubernetes.io/name"
KINDS = {
    "certificate": "Certificate",
    "configmap": "ConfigMap",
    "cronjob": "CronJob",
    "deployment": "Deployment",
    "hpa": "HorizontalPodAutoscaler",
    "issuer": "Issuer",
    "networkpolicy": "NetworkPolicy",
    "pod": "Pod",
    "pvc": "PersistentVolumeClaim",
    "secret": "Secret",
    "service": "Service",
    "statefulset": "StatefulSet",
}
"""Words of `kubectl` -> kinds of which every object is of a stack; of others a page may name anything."""
ON_POD = {"attach", "cp", "exec", "logs", "port-forward"}
MADE_BY_PODS = {("configmap", "postgres-cluster")}
"""What no stack has and pods make."""
_SOURCE = re.compile(r"```sh\n(?P<block>.*?)```|`(?P<inline>[^`\n]+)`", re.DOTALL)
_KUBECTL = re.compile(r"(?:^|[\s({])kubectl (?!\(\))(?P<words>[^|;#&>]*)")
_PLACEHOLDER = re.compile(r"<[a-z -]+>|\$\{?\w+\}?|\b[A-Z]+\b|\.\.\.")
_WITH_VALUE = {"-n", "--context", "-l", "--selector", "-c", "--container", "-o", "--namespace", "--type", "-p"}


def commands(text: str) -> Iterator[list[str]]:
    """Words after `kubectl`, placeholders as `*`, of each command of a page."""
    for match in _SOURCE.finditer(text):
        code = _PLACEHOLDER.sub("*", match["block"] or match["inline"]).replace("\\\n", " ")
        for line in code.splitlines():
            for command in _KUBECTL.finditer(line):
                yield words(command["words"])


def words(text: str) -> list[str]:
    """Words as a shell takes them, up to what a container runs."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=False)
    lexer.whitespace_split = True
    lexer.commenters = ""
    taken = []
    try:
        for word in lexer:
            if word == "--":
                break
            taken.append(word)
    except ValueError:  # a quotation that is open: it was cut at a sign of the shell
        pass
    return taken


def option(command: list[str], *names: str) -> str | None:
    """Value of an option, given as `-c X` or `--container=X`."""
    for word, following in zip(command, [*command[1:], ""], strict=True):
        if word in names:
            return following
        if word.partition("=")[0] in names:
            return word.partition("=")[2]
    return None


def arguments(command: list[str]) -> list[str]:
    """A command's words without its options."""
    kept, skip = [], False
    for word in command:
        if not skip and not word.startswith("-"):
            kept.append(word)
        skip = not skip and word in _WITH_VALUE
    return kept


@functools.cache
def workloads() -> list[dict[str, Any]]:
    """Manifests with pods, of every stack."""
    recordings = [*map(engine.recorded, engine.STACKS), engine.recorded("prod", "standby"), engine.sharded()]
    kinds = ("Deployment", "StatefulSet", "DaemonSet", "CronJob")
    return [manifest for recording in recordings for manifest in recording.kinds(*kinds)]


def template(manifest: dict[str, Any]) -> dict[str, Any]:
    """What its pods are created from."""
    spec = manifest["spec"]
    created: dict[str, Any] = (spec["jobTemplate"]["spec"] if manifest["kind"] == "CronJob" else spec)["template"]
    return created


@functools.cache
def names() -> dict[str, frozenset[str]]:
    """Kind -> every name of an object of it, in any stack; pods and claims as StatefulSets name them."""
    there: dict[str, set[str]] = {}
    for recording in (*map(engine.recorded, engine.STACKS), engine.recorded("prod", "standby"), engine.sharded()):
        for manifest in recording.manifests():
            there.setdefault(manifest["kind"], set()).add(manifest["metadata"]["name"])
        for certificate in recording.kinds("Certificate"):
            there.setdefault("Secret", set()).add(certificate["spec"]["secretName"])
    for manifest in workloads():
        if manifest["kind"] == "StatefulSet":
            for number in range(int(manifest["spec"]["replicas"])):
                pod = f"{manifest['metadata']['name']}-{number}"
                there.setdefault("Pod", set()).add(pod)
                for claim in manifest["spec"].get("volumeClaimTemplates", ()):
                    there.setdefault("PersistentVolumeClaim", set()).add(f"{claim['metadata']['name']}-{pod}")
    return {kind: frozenset(those) for kind, those in there.items()}


def labels() -> set[str]:
    return {template(manifest)["metadata"]["labels"].get(APP, "") for manifest in workloads()}


def named(command: list[str]) -> Iterator[tuple[str, str]]:
    """Kind and name of each object of a stack that a command names."""
    verb, *rest = arguments(command) or [""]
    if verb == "auth" or option(command, "-n", "--namespace") not in (None, "*"):
        return
    if verb == "rollout" and rest:
        rest = rest[1:]
    for word in rest:
        kind, slash, name = word.partition("/")
        if slash and kind.removesuffix("s") in KINDS:
            yield kind.removesuffix("s"), name
    if verb in ON_POD and rest and "/" not in rest[0]:
        yield "pod", rest[0]
    elif rest and rest[0].removesuffix("s") in KINDS:
        for name in rest[1:]:
            if "/" not in name and not name.startswith("{"):
                yield rest[0].removesuffix("s"), name


def problems(command: list[str]) -> Iterator[str]:
    """What is wrong with a command."""
    verb = (arguments(command) or [""])[0]
    selector = option(command, "-l", "--selector")
    key, _, value = (selector or "").partition("=")
    if key == APP and not any(matches(label, value) for label in labels()):
        yield f"no pod has the label {selector}"
    if verb == "logs" and selector and option(command, "--tail") is None:
        yield "logs of a selector are the last ten lines of each container without --tail"
    for kind, name in named(command):
        if not any(matches(there, name) for there in names()[KINDS[kind]]) and (kind, name) not in MADE_BY_PODS:
            yield f"no stack has the {kind} {name}"
        if verb == "logs" and kind == "deployment":
            replicas = {int(one["spec"].get("replicas") or 1) for one in workloads() if matches(owner(one), name)}
            if replicas - {1}:
                yield f"{kind}/{name} has several pods, of which this shows one: use -l {APP}={name} --prefix --tail=N"
    container = option(command, "-c", "--container")
    if container and verb in ON_POD and not any(matches(there, container) for there in containers(command)):
        yield f"no such pod has the container {container}"


def containers(command: list[str]) -> set[str]:
    """Containers of the pods that a command names; of all pods where it names none."""
    pods = [name.rpartition("-")[0] or name for kind, name in named(command) if kind == "pod"]
    return {
        container["name"]
        for manifest in workloads()
        if not pods or any(matches(owner(manifest), pod) for pod in pods)
        for container in template(manifest)["spec"]["containers"]
    }


def owner(manifest: dict[str, Any]) -> str:
    return str(manifest["metadata"]["name"])


def matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern)


@pytest.mark.parametrize("page", list(pages()), ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_every_command_names_what_is_deployed(page: Path) -> None:
    wrong = [(" ".join(command), problem) for command in commands(page.read_text()) for problem in problems(command)]
    assert wrong == []


@pytest.mark.parametrize(
    "command",
    [
        "kubectl get pods -l app.kubernetes.io/name=kafkas",
        "kubectl logs -l app.kubernetes.io/name=grafana | grep error",
        "kubectl logs deployment/log-indexer",
        "kubectl logs kafka-0 -c broker",
        "kubectl exec kafka-99 -- df -h",
        "kubectl get secret nobody-tls -o yaml",
        "kubectl rollout restart deployment/kafka",
        "kubectl -n $NS scale statefulset gateways --replicas=0",
    ],
)
def test_a_command_that_would_fail_or_hide_something_is_noticed(command: str) -> None:
    [typed] = commands(f"Type `{command}`.")
    assert list(problems(typed))
