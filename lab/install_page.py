"""Follows docs/install.md word for word: its section about kind, on the embedded cluster as if it were somebody's own.

What the page asks its reader to have is the lab's: a cluster with cert-manager, load balancers and a StorageClass, a
registry, an object storage. What it tells the reader to type is read from the page and typed, line by line, in a fresh
clone with a home, a kubeconfig, a virtual environment and a Pulumi home of its own, and nothing of the lab's
environment. The passphrase and the backend of Pulumi are those that the page makes in that home; the account at the
cluster has the roles that `ops rights` prints and no others.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import yaml

from lab import LabError, environment, registry, storage
from lab.cluster import lifecycle, network
from lab.paths import CHECKOUT, LabPaths
from lab.pulumi_host import home
from lab.simulator import deploy as simulator
from lab.stack import wait_for_layers
from lab.toolchain import tools
from ops.core.errors import OpsError
from ops.core.files import write_private
from ops.core.kube import Kube
from ops.core.terminal import clock
from ops.evidence import files as evidence

PAGE: Final = "docs/install.md"
SECTION: Final = "kind"
STACK: Final = "kind"
CONTEXT: Final = "kind-obs"
NAMESPACE: Final = "obs-kind"
BUCKET: Final = "obs-kind"
ACCOUNT_NAMESPACE, ACCOUNT, ADMINISTRATOR = "default", "installer", "administrator"
EVIDENCE: Final = "install-followed"
OURS: Final = {
    "172.18.250.": "198.18.0.",
    "172.18.0.0/16": "198.18.0.0/24",
    "https://172.18.0.1:9000": storage.URL,
    "172.18.0.1/32": f"{network.RECEIVERS}/32",
    "port: 9000": f"port: {network.STORAGE_PORT}",
    "registry.example.com/observability": "registry.lab.internal",
    "storage_class: standard": "storage_class: lab-local",
    "pull_secrets: []": f"pull_secrets: [{registry.PULL_SECRET}]",
}
"""What of `Pulumi.kind.yaml` is its reader's own, as the page says -> what it is here."""
_LINE_LIMIT_S: Final = 1500.0
_OPEN_LIMIT_S: Final = 60.0
_CLUSTER, _PACKAGES, _OPEN = "kind create cluster", "pip ", "python -m ops open "
_BACKEND: Final = "PULUMI_CONFIG_PASSPHRASE_FILE"
"""The page has its reader export it before there is a stack."""
_FORGOTTEN: Final = ("PULUMI_", "OBS_", "PYTHON", "KUBECONFIG", "VIRTUAL_ENV", "AWS_")
_URL = re.compile(r"https://\S+/")
_AUTHORITY = re.compile(r"authority of its certificate: (\S+)")


def typed(page: str, section: str = SECTION) -> list[str]:
    """The lines of a section's first block of shell, without the comments behind them.

    Args:
        page: Text in Markdown.
        section: A heading of the second level.

    Raises:
        LabError: The section has no such block.
    """
    _, heading, rest = page.partition(f"\n## {section}\n")
    block = re.search(r"^```sh\n(.*?)^```$", rest.partition("\n## ")[0], re.MULTILINE | re.DOTALL)
    if not heading or block is None:
        raise LabError(f"{PAGE}: the section {section} has no block of shell")
    lines = (line.partition("  #")[0].strip() for line in block[1].splitlines())
    return [line for line in lines if line]


def adapted(stack_file: str, digests: Mapping[str, str]) -> str:
    """The stack file with what is the lab's own.

    Args:
        stack_file: Its text.
        digests: Short name of each image in the lab's registry -> its digest.

    Raises:
        LabError: Something that the page tells to change is not in the file any more.
    """
    for theirs, ours in {**OURS, "digests: {}": f"digests: {json.dumps(digests)}"}.items():
        if theirs not in stack_file:
            raise LabError(f"Pulumi.{STACK}.yaml has no {theirs} any more: lab/install_page.py names it")
        stack_file = stack_file.replace(theirs, ours)
    return stack_file


def kubeconfig(content: Mapping[str, Any], token: str = "") -> dict[str, Any]:
    """A kubeconfig with the cluster's first context alone, under the name that kind would give it.

    Args:
        content: The lab's, whose user is an administrator.
        token: Of another user; empty: the same one.
    """
    [context, *_] = content["contexts"]
    users = [{"name": context["context"]["user"], "user": {"token": token}}] if token else content["users"]
    return {**content, "contexts": [{**context, "name": CONTEXT}], "current-context": CONTEXT, "users": users}


@dataclass
class Shell:
    """Types lines in a folder; what a line exports, the next one has.

    Attributes:
        folder: Where the lines are typed.
        netns: Network namespace in which the cluster can be reached; packages are fetched outside of it.
        variables: Environment.
        taken: Line -> seconds.
    """

    folder: Path
    netns: str
    variables: dict[str, str]
    taken: dict[str, float] = field(default_factory=dict)

    def type(self, line: str) -> str:
        """Type a line, and wait for its end.

        Returns:
            What it printed, but for its errors.

        Raises:
            LabError: It failed, or did not end in time.
        """
        print(f"$ {line}", flush=True)
        began = time.monotonic()
        reader, writer = os.pipe()
        command = ["bash", "-c", f"{line}\ncode=$?\nenv -0 >&{writer}\nexit $code"]
        process = subprocess.Popen(
            command if line.startswith(_PACKAGES) else [*network.enter(self.netns), *command],
            cwd=self.folder,
            env=self.variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=(writer,),
            start_new_session=True,
        )
        os.close(writer)
        with process, open(reader, encoding="utf-8") as exported, _limited(process, _LINE_LIMIT_S) as over:
            assert process.stdout is not None
            printed = []
            for text in process.stdout:
                print(text, end="", flush=True)
                printed.append(text)
            content = exported.read()
            code = process.wait()
        self.taken[line] = round(time.monotonic() - began, 1)
        if over.is_set():
            raise LabError(f"`{line}` did not end within {clock(_LINE_LIMIT_S)}")
        if code:
            raise LabError(f"`{line}` failed with exit code {code}: see above")
        self.variables = dict(entry.split("=", 1) for entry in content.split("\0") if "=" in entry)
        return "".join(printed)

    def open(self, line: str) -> int:
        """Type a line that shows a page until Ctrl-C, and look at the page.

        Returns:
            The page's status code.

        Raises:
            LabError: It names no page, the page does not answer, or the command does not end by Ctrl-C.
        """
        print(f"$ {line}", flush=True)
        began = time.monotonic()
        process = subprocess.Popen(
            [*network.enter(self.netns), *line.split()],
            cwd=self.folder,
            env={**self.variables, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        with process, _limited(process, _OPEN_LIMIT_S):
            assert process.stdout is not None
            url = authority = ""
            for text in process.stdout:
                print(text, end="", flush=True)
                url = url or (_URL.search(text) or [""])[0]
                authority = authority or (_AUTHORITY.search(text) or ["", ""])[1]
                if url and authority:
                    break
            status = self._status(url, authority)
            process.send_signal(signal.SIGINT)
            code = process.wait()
        self.taken[line] = round(time.monotonic() - began, 1)
        if code:
            raise LabError(f"`{line}` did not end by Ctrl-C: exit code {code}")
        return status

    def _status(self, url: str, authority: str) -> int:
        if not url or not authority:
            raise LabError("the command named no page, or no authority of its certificate")
        ask = ["curl", "--silent", "--show-error", "--max-time", "10", "--cacert", authority, "--noproxy", "*"]
        command = [
            *network.enter(self.netns),
            *ask,
            "--output",
            os.devnull,
            "--write-out",
            "%{http_code}",
            f"{url}login",
        ]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=_OPEN_LIMIT_S)
        if answer.returncode:
            raise LabError(f"{url} does not answer: {answer.stderr.strip()}")
        return int(answer.stdout)


@contextmanager
def _limited(process: subprocess.Popen[str], limit_s: float) -> Iterator[threading.Event]:
    """End a process and what it started when its time is over, which the event tells, or the block fails."""
    over = threading.Event()

    def end() -> None:
        over.set()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    timer = threading.Timer(limit_s, end)
    timer.start()
    try:
        yield over
    except BaseException:
        end()
        raise
    finally:
        timer.cancel()


def follow(paths: LabPaths) -> None:
    """Follow the page, look at what has come up, leave evidence, and remove it again.

    Raises:
        LabError: There is no cluster, a platform of the lab is on it, a line failed, or nothing arrived.
    """
    _refuse_beside_a_platform(paths)
    started = datetime.now(UTC)
    began = time.monotonic()
    folder = paths.state / "install"
    shutil.rmtree(folder, ignore_errors=True)
    shell = Shell(folder / "checkout", paths.netns, _variables(paths, folder))
    try:
        _prepare(paths, folder)
        status = _type_all(shell)
        figures = _look(paths, shell, status)
        figures["total s"] = round(time.monotonic() - began, 1)
        figures["steps s"] = shell.taken
        kube = Kube.connect(NAMESPACE, paths.kubeconfig)
        with closing(kube):
            settings = {"stack": STACK, "profile": environment.committed(STACK)["profile"], "section": SECTION}
            evidence.write(EVIDENCE, figures=figures, kube=kube, stack=STACK, started=started, settings=settings)
    except (LabError, OpsError) as error:
        print(f"not whole: {error}", flush=True)
        _remove(paths, shell)
        raise LabError(str(error)) from None
    _remove(paths, shell)


def _refuse_beside_a_platform(paths: LabPaths) -> None:
    if not network.namespace_exists(paths.netns):
        raise LabError("no cluster: run `make up`, then `make destroy`, which leaves the cluster")
    known = lifecycle.namespaces(paths)
    if NAMESPACE in known:
        raise LabError(
            f"{NAMESPACE}: a run was interrupted before it removed it; `make down` removes it with the cluster"
        )
    others = {str(environment.committed(stack)["namespace"]) for stack in environment.STACKS}
    if beside := others & known:
        raise LabError(f"{', '.join(sorted(beside))}: two platforms do not fit on two cores; run `make destroy` first")


def _variables(paths: LabPaths, folder: Path) -> dict[str, str]:
    """The reader's environment: the machine's, without anything of the lab, and their own places."""
    programs = [folder / "pulumi" / "bin", *(tools.path(name).parent for name in ("pulumi", "kubectl"))]
    kept_variables = {name: value for name, value in os.environ.items() if not name.startswith(_FORGOTTEN)}
    return {
        **kept_variables,
        "HOME": str(folder / "home"),
        "KUBECONFIG": str(folder / "kubeconfig"),
        "PATH": os.pathsep.join([*map(str, programs), os.environ.get("PATH", "/usr/bin:/bin")]),
        "PULUMI_HOME": str(folder / "pulumi"),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_SKIP_CONFIRMATIONS": "true",
    }


def _prepare(paths: LabPaths, folder: Path) -> None:
    """What the page asks its reader to have.

    Raises:
        LabError: There are no files of the object storage, or nothing can be cloned.
    """
    docker = folder / "home" / ".docker"
    docker.mkdir(parents=True, mode=0o700)
    write_private(docker / "config.json", json.dumps(registry.nodes_login(paths)))
    checkout = folder / "checkout"
    clone = subprocess.run(
        ["git", "clone", "--quiet", str(CHECKOUT), str(checkout)], capture_output=True, text=True, timeout=300
    )
    if clone.returncode:
        raise LabError(f"git clone failed: {clone.stderr.strip()[-300:]}")
    stack_file = checkout / f"Pulumi.{STACK}.yaml"
    stack_file.write_text(adapted(stack_file.read_text(encoding="utf-8"), registry.digests(paths)), encoding="utf-8")
    content = yaml.safe_load(paths.kubeconfig.read_text(encoding="utf-8"))
    write_private(folder / ADMINISTRATOR, yaml.safe_dump(kubeconfig(content)))
    token = _account(paths, folder)
    write_private(folder / "kubeconfig", yaml.safe_dump(kubeconfig(content, token)))
    command = [sys.executable, "-m", "lab", "storage", "bucket", BUCKET, str(checkout / "storage.json")]
    made_bucket = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=_OPEN_LIMIT_S)
    if made_bucket.returncode:
        raise LabError(f"no bucket {BUCKET}: {made_bucket.stderr.strip()[-300:]}")
    write_private(checkout / "recipients.json", json.dumps(storage.backup_recipients(paths)).encode())
    home.install(folder / "pulumi", checkout / ".venv" / "bin" / "python")


def _account(paths: LabPaths, folder: Path) -> str:
    """The page's reader is no administrator: an account with the roles that `ops rights` prints; its token.

    Raises:
        LabError: The roles are not printed, or the cluster does not take them.
    """
    subject = f"account:{ACCOUNT_NAMESPACE}/{ACCOUNT}"
    roles = [sys.executable, "-m", "ops", "rights", "--file", f"Pulumi.{STACK}.yaml", "--subject", subject]
    printed = _as_administrator(paths, folder, roles)
    own = f"--namespace={ACCOUNT_NAMESPACE}"
    _as_administrator(paths, folder, _kubectl("create", "serviceaccount", ACCOUNT, own))
    _as_administrator(paths, folder, _kubectl("apply", "--server-side", "-f", "-"), printed)
    return _as_administrator(paths, folder, _kubectl("create", "token", ACCOUNT, own, "--duration=4h")).strip()


def _kubectl(*words: str) -> list[str]:
    return [str(tools.path("kubectl")), *words]


def _as_administrator(paths: LabPaths, folder: Path, command: list[str], text: str = "") -> str:
    """What a command prints that the cluster's administrator runs in the reader's checkout."""
    answer = subprocess.run(
        [*network.enter(paths.netns), *command],
        cwd=folder / "checkout",
        env={**os.environ, "KUBECONFIG": str(folder / ADMINISTRATOR)},
        input=text,
        capture_output=True,
        text=True,
        timeout=_OPEN_LIMIT_S,
    )
    if answer.returncode:
        raise LabError(f"`{' '.join(command)}` failed: {answer.stderr.strip()[-300:]}")
    return answer.stdout


def _type_all(shell: Shell) -> int:
    """Type the page's lines; the status code of the page that they open."""
    status = 0
    for line in typed((shell.folder / PAGE).read_text(encoding="utf-8")):
        if line.startswith(_CLUSTER):
            print(f"$ {line}  # the embedded cluster stands for it", flush=True)
        elif line.startswith(_OPEN):
            status = shell.open(line)
        else:
            shell.type(line)
    return status


def _look(paths: LabPaths, shell: Shell, status: int) -> dict[str, Any]:
    """What has come up: pods, and telemetry of every layer.

    Raises:
        LabError: The page or the telemetry is not there.
    """
    if status != 200:
        raise LabError(f"Grafana's page answers with {status}")
    outputs = json.loads(_quiet(shell, "pulumi stack output --json --show-secrets"))
    image, pull_secret = registry.simulator_image(paths), registry.pull_secret(paths, simulator.NAMESPACE)
    simulator.deploy(outputs, image, pull_secret, str(paths.kubeconfig), paths.netns)
    network.join(paths.netns)
    series = wait_for_layers(outputs)
    with closing(Kube.connect(NAMESPACE, paths.kubeconfig)) as kube:
        pods = kube.pods()
    return {
        "pods": len(pods),
        "pods ready": sum(pod.ready for pod in pods),
        "series of layers": series,
        "page opened": status,
    }


def _quiet(shell: Shell, line: str) -> str:
    """What a line prints that nobody is to see."""
    answer = subprocess.run(
        [*network.enter(shell.netns), "bash", "-c", line],
        cwd=shell.folder,
        env=shell.variables,
        capture_output=True,
        text=True,
        timeout=_OPEN_LIMIT_S,
    )
    if answer.returncode:
        raise LabError(f"`{line}` failed: {answer.stderr.strip()[-300:]}")
    return answer.stdout


def _remove(paths: LabPaths, shell: Shell) -> None:
    """Remove the platform, and everything that was its reader's.

    Raises:
        LabError: Something is left.
    """
    if not shell.folder.exists():
        return
    simulator.remove(str(paths.kubeconfig), paths.netns)
    if _BACKEND in shell.variables and NAMESPACE in lifecycle.namespaces(paths):
        shell.type("pulumi state unprotect --all --yes")
        shell.type("pulumi destroy --yes --skip-preview --suppress-outputs")
    folder = shell.folder.parent
    if (folder / ADMINISTRATOR).exists():
        role = f"{NAMESPACE}-installer"
        for thing in (f"namespace/{NAMESPACE}", f"clusterrole/{role}", f"clusterrolebinding/{role}"):
            _as_administrator(paths, folder, _kubectl("delete", "--ignore-not-found", "--wait=false", thing))
        account = ("delete", "--ignore-not-found", f"--namespace={ACCOUNT_NAMESPACE}", f"serviceaccount/{ACCOUNT}")
        _as_administrator(paths, folder, _kubectl(*account))
    lifecycle.wait_for_nothing_left(paths, NAMESPACE)
    shutil.rmtree(shell.folder.parent, ignore_errors=True)
