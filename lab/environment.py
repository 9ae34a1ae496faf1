"""The environment in which product commands run against the embedded clusters."""

from __future__ import annotations

import json
import os
import re
import secrets
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from components.naming import size_of
from components.telemetry.topics import topic
from lab import LabError, directory, registry, storage
from lab.cluster import network
from lab.fakes.receivers import client as receivers
from lab.fakes.receivers import settings as receivers_settings
from lab.key_files import AUTHORITY
from lab.paths import CHECKOUT, LabPaths
from lab.toolchain import tools
from lab.toolchain.recipes import LOAD_GENERATOR
from ops.core.files import write_private

STACK, SECOND_STACK = "local", "local-dr"
STACKS = (STACK, SECOND_STACK)
"""Stacks of the lab: the first region and the second."""
ALERTING_SECRETS = "observability:alertingSecrets"
DIRECTORY_SECRETS = "observability:directorySecrets"
IDENTITY_SECRETS = "observability:identitySecrets"
OBJECT_STORAGE_SECRETS = "observability:objectStorageSecrets"
OBJECT_STORAGE_ROLES = "observability:objectStorageRoles"
BACKUP_RECIPIENTS = "observability:backupRecipients"
WITNESS_SECRETS = "observability:witnessSecrets"
CLUSTER_AUDIT_SECRETS = "observability:clusterAuditSecrets"
SECRETS = (
    ALERTING_SECRETS,
    DIRECTORY_SECRETS,
    IDENTITY_SECRETS,
    OBJECT_STORAGE_SECRETS,
    OBJECT_STORAGE_ROLES,
    BACKUP_RECIPIENTS,
    WITNESS_SECRETS,
    CLUSTER_AUDIT_SECRETS,
)
"""Configuration keys of what a stack needs to reach what is outside the platform; their values are secrets."""
ROLE = "observability:role"
"""Configuration key that `ops failover` and `ops failback` change."""
PARALLEL = 160
"""Operations of Pulumi at once: fewer are taken up by pods that wait for others, then by Kafka's permissions, behind
which what is ready waits."""
_PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
_INSIDE = ("localhost", "127.0.0.1", "198.18.0.0/15", ".svc", ".cluster.local", ".lab.internal")
"""Names and nodes' networks of the embedded clusters."""
_ROLE_LINE = re.compile(rf"\s+{ROLE}:\s*([a-z]+)\s*")
_STORAGE_LINE, _SIZE_LINE = "    storage:", re.compile(r"      (\w+): (\d+[MGT]i)")
_UID_LINE = re.compile(r"      uid: null(\s+#.*)?")
_TOPICS_LINE = re.compile(r"    topics: (\{.*\})(\s+#.*)?")
_DIGESTS_LINE = "      digests: {}"
_KAFKA_LINE = "    kafka:"
_GENERATIONS_LINE = re.compile(r"(\s+(?:login_generations|password_generations): )(.+)")


def ask_no_proxy() -> None:
    """Let no program ask the machine's proxy, where it has one, for what is inside the lab's network."""
    if not any(os.environ.get(name) for name in _PROXIES):
        return
    inside = [*_INSIDE, network.POD_CIDR, network.SERVICE_CIDR]
    for name in ("NO_PROXY", "no_proxy"):
        known = [entry.strip() for entry in os.environ.get(name, "").split(",") if entry.strip()]
        os.environ[name] = ",".join(dict.fromkeys([*known, *inside]))


def variables(paths: LabPaths) -> dict[str, str]:
    """Variables for Pulumi, kubectl and ``ops``; the passphrase stays in a file that only root reads."""
    backend = paths.state / "backend"
    backend.mkdir(parents=True, exist_ok=True)
    passphrase = paths.state / "pki" / "passphrase"
    if not passphrase.exists():
        write_private(passphrase, secrets.token_urlsafe(32).encode())
    view = project(paths)
    programs = [
        paths.pulumi_home / "bin",
        tools.path("pulumi").parent,
        tools.path("kubectl").parent,
        tools.place(LOAD_GENERATOR).parent,
        tools.place("prometheus").parent,
        Path(sys.executable).parent,
    ]
    return {
        **os.environ,
        "KUBECONFIG": str(paths.commands_kubeconfig),
        "PATH": os.pathsep.join([*map(str, programs), os.environ.get("PATH", "/usr/bin:/bin")]),
        "PULUMI_HOME": str(paths.pulumi_home),
        "PULUMI_BACKEND_URL": f"file://{backend}?metadata=skip",
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(passphrase),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        # The state is written whole before and after each resource: a copy and a digest each time (``skip`` in the URL)
        # are a third of the work.
        "PULUMI_DIY_BACKEND_DISABLE_CHECKPOINT_BACKUPS": "true",
        "PULUMI_STACK": os.environ.get("PULUMI_STACK", STACK),
        "PULUMI_K8S_DELETE_UNREACHABLE": "false",
        # What an interrupted update made has another field manager, and no one else changes the lab's objects.
        "PULUMI_K8S_ENABLE_PATCH_FORCE": "true",
        "PULUMI_OPTION_CWD": str(view),
        "PYTHONPATH": str(CHECKOUT),
        # The lab's clusters are disposable: what this checkout measured on an earlier one counts.
        "OBS_EVIDENCE_SCOPE": "checkout",
        "OBS_TEST_ACCOUNTS_FILE": str(directory.credentials(paths)),
        "OBS_BACKUP_IDENTITY": str(storage.folder(paths) / storage.IDENTITY),
        "OBS_PULUMI_UP": shlex.join(["pulumi", "--non-interactive", "--color=never", *update(view)]),
        **receivers.dns_variables(paths),
        **notification_record(paths),
        **drill_commands(paths),
        **upgrade_digest(paths),
    }


def notification_record(paths: LabPaths) -> dict[str, str]:
    """Environment in which drills read what on-call received; empty where there is no lab.

    Raises:
        LabError: The file of the fakes' secrets is not whole.
    """
    place = receivers_settings.folder(paths)
    if not (place / receivers_settings.SECRETS).exists():
        return {}
    address = {
        "url": receivers_settings.URL,
        "login": {
            "username": receivers_settings.READER,
            "password": receivers_settings.load_secrets(place / receivers_settings.SECRETS).reader_password,
        },
        "ca_file": str(place / receivers_settings.CERTIFICATES / AUTHORITY),
    }
    write_private(place / "reader.json", json.dumps(address, indent=1).encode() + b"\n")
    return {"OBS_NOTIFICATION_RECORD": str(place / "reader.json")}


def drill_commands(paths: LabPaths) -> dict[str, str]:
    """Environment in which drills stop the object storage, cut a region off, and give clients new passwords."""
    commands = {
        "storage": {"stop": ["storage", "stop"], "start": ["storage", "start"]},
        "region": {
            "cut": ["partition", "{namespace}", "--freeze"],
            "thaw": ["partition", "{namespace}"],
            "reconnect": ["reconnect", "{namespace}"],
            "beside": ["keep-scaled-down"],
        },
        "clients": {"renew": ["simulator"]},
    }
    lab = [sys.executable, "-m", "lab"]
    whole = {part: {name: [*lab, *words] for name, words in named.items()} for part, named in commands.items()}
    file = paths.state / "drill-commands.json"
    _write(file, json.dumps(whole, indent=1) + "\n")
    return {"OBS_DRILL_COMMANDS": str(file)}


def upgrade_digest(paths: LabPaths) -> dict[str, str]:
    """Environment in which a drill upgrades Kafka to the platform's release; empty before `make up`."""
    digest = registry.digests(paths).get("kafka")
    return {"OBS_DRILL_KAFKA_DIGEST": digest} if digest else {}


def update(view: Path) -> list[str]:
    """Arguments of Pulumi that bring the selected stack to what the program says, under the policies.

    Args:
        view: See `project`.
    """
    return ["up", "--yes", "--skip-preview", "--suppress-outputs", f"--parallel={PARALLEL}", *policies(view)]


def policies(view: Path) -> list[str]:
    """Arguments of Pulumi that apply the policies.

    Args:
        view: See `project`.
    """
    pack = view / "policy"
    return ["--policy-pack", str(pack)] if (pack / "PulumiPolicy.yaml").exists() else []


def project(paths: LabPaths) -> Path:
    """A view of the checkout for Pulumi: links to everything, and copies of the stack files.

    Pulumi writes each stack's encryption salt into its stack file; the lab's passphrase is this machine's alone, so the
    salt belongs into a copy and not into the committed file. The same is true of the secrets of what is outside the
    platform, which are encrypted with it, of the role that a region of the lab has since a failover, of partitions that
    were added and volumes that have grown, which nobody can take away again, of dedicated controllers of Kafka, and of
    newer generations of logins and passwords. The digests of images in the lab's registry are this machine's too, and
    the UIDs of its clusters; a copy that has the digest of Kafka's release before keeps it.
    """
    view = paths.state / "project"
    view.mkdir(parents=True, exist_ok=True)
    for entry in CHECKOUT.iterdir():
        target = view / entry.name
        if _is_stack_file(entry):
            _write(target, _copied(paths, entry, target))
        elif not target.is_symlink():
            target.symlink_to(entry)
    for link in view.iterdir():
        if link.is_symlink() and not link.exists():
            link.unlink()
    return view


def forget_changes(paths: LabPaths, stack: str) -> None:
    """Give a stack of the lab role, partitions, volumes, voters and generations of its committed file again."""
    file = CHECKOUT / f"Pulumi.{stack}.yaml"
    target = paths.state / "project" / file.name
    if file.exists() and target.exists():
        _write(target, _copied(paths, file, target, changes=False))


def set_kafka(paths: LabPaths, stack: str, digest: str) -> None:
    """Let a stack of the lab run another image of Kafka from its next update on."""
    file = CHECKOUT / f"Pulumi.{stack}.yaml"
    target = project(paths) / file.name
    _write(target, _copied(paths, file, target, kafka=digest))


def set_controllers(paths: LabPaths, stack: str, count: int) -> None:
    """Let a stack of the lab have dedicated controllers of Kafka from its first update on; 0: what its file says."""
    file = CHECKOUT / f"Pulumi.{stack}.yaml"
    target = project(paths) / file.name
    _write(target, _copied(paths, file, target, controllers=count))


def controllers(paths: LabPaths, stack: str) -> int:
    """Dedicated controllers of Kafka that the copy of a stack file asks for; 0: none, or what the profile says."""
    return int(_settings(paths.state / "project" / f"Pulumi.{stack}.yaml", "kafka").get("controllers") or 0)


def runs_previous_kafka(paths: LabPaths, stack: str) -> bool:
    """Whether a stack of the lab has the digest of Kafka's release before the platform's."""
    digest = _digest_of_kafka(paths.state / "project" / f"Pulumi.{stack}.yaml")
    return bool(digest) and digest == registry.previous_kafka(paths)


def cluster_paths(paths: LabPaths, stack: str) -> LabPaths:
    """Folders and names of the cluster that a stack of the lab is for."""
    return paths.second if stack == SECOND_STACK else paths.first


def committed(stack: str) -> Mapping[str, object]:
    """Settings of a stack's committed file.

    Raises:
        LabError: There is no such file.
    """
    file = CHECKOUT / f"Pulumi.{stack}.yaml"
    if not file.exists():
        raise LabError(f"stack {stack}: there is no {file.name}; the lab's stacks are {', '.join(STACKS)}")
    settings: Mapping[str, object] = yaml.safe_load(file.read_text())["config"]["observability:settings"]
    return settings


def _stack_of(file: Path) -> str:
    return file.name.removeprefix("Pulumi.").removesuffix(".yaml")


def _is_stack_file(file: Path) -> bool:
    return file.name.startswith("Pulumi.") and file.name != "Pulumi.yaml"


def _copied(
    paths: LabPaths, file: Path, target: Path, *, changes: bool = True, kafka: str = "", controllers: int | None = None
) -> str:
    """Text of a stack file with what its copy alone has.

    Args:
        paths: The lab.
        file: The committed file.
        target: Its copy.
        changes: Whether the copy keeps what was changed there.
        kafka: Digest of Kafka's image; empty: the copy's where that is of the release before, else the platform's.
        controllers: Dedicated controllers of Kafka; 0: as the committed file says, None: as the copy does.
    """
    salt = [line for line in _lines(target) if line.startswith("encryptionsalt:")]
    lines = _lines(file)
    if file.name in {f"Pulumi.{stack}.yaml" for stack in STACKS}:
        digests, uid = registry.digests(paths), cluster_paths(paths, _stack_of(file)).uid
        if changes and runs_previous_kafka(paths, _stack_of(file)):
            digests["kafka"] = registry.previous_kafka(paths)
        if kafka:
            digests["kafka"] = kafka
        lines = [f"      digests: {json.dumps(digests)}" if line == _DIGESTS_LINE else line for line in lines]
        lines = [f"      uid: {uid}" if uid and _UID_LINE.fullmatch(line) else line for line in lines]
        if controllers is None and changes:
            controllers = _settings(target, "kafka").get("controllers")
        if controllers:
            lines.insert(lines.index(_KAFKA_LINE) + 1, f"      controllers: {controllers}")
        kept = dict(_kept(target))
        role = kept.pop(ROLE, None)
        if changes:
            topics, generations = _settings(target, "topics"), _generations(target)
            lines = [_changed(line, role, topics, generations) for line in _grown(lines, _settings(target, "storage"))]
        lines = _with([line for key, value in kept.items() for line in (f"  {key}:", f"    secure: {value}")], lines)
    return "\n".join([*lines, *salt]) + "\n"


def _write(target: Path, text: str) -> None:
    """Write a file, whole or not at all, unless it says the same already."""
    if not target.exists() or target.read_text() != text:
        fresh = target.with_name(f".{target.name}.{os.getpid()}")
        fresh.write_text(text)
        fresh.replace(target)


def _kept(file: Path) -> Iterator[tuple[str, str]]:
    """What a copy of a stack file says itself: the secrets, encrypted as Pulumi wrote them, and the role."""
    content = yaml.safe_load(file.read_text()) if file.exists() else None
    config = content.get("config") if isinstance(content, dict) else None
    if not isinstance(config, dict):
        return
    for key in SECRETS:
        value = config.get(key)
        if isinstance(value, dict) and isinstance(value.get("secure"), str):
            yield key, value["secure"]
    if isinstance(config.get(ROLE), str):
        yield ROLE, config[ROLE]


def _settings(file: Path, name: str) -> dict[str, Any]:
    """A group of the settings in a copy of a stack file."""
    content = yaml.safe_load(file.read_text()) if file.exists() else None
    config = content.get("config") if isinstance(content, dict) else None
    settings = config.get("observability:settings") if isinstance(config, dict) else None
    group = settings.get(name) if isinstance(settings, dict) else None
    return group if isinstance(group, dict) else {}


def _digest_of_kafka(file: Path) -> str:
    """Digest of Kafka's image in a copy of a stack file; empty where it has none."""
    digests = _settings(file, "images").get("digests")
    return str(digests.get("kafka", "")) if isinstance(digests, dict) else ""


def _grown(lines: list[str], copied: Mapping[str, str]) -> Iterator[str]:
    """The lines of the committed file, with the copy's sizes of volumes where these are larger."""
    inside = False
    for line in lines:
        inside = line == _STORAGE_LINE or (inside and line.startswith("      "))
        match = _SIZE_LINE.fullmatch(line) if inside else None
        size = copied.get(match[1], match[2]) if match else ""
        yield f"      {match[1]}: {size}" if match and size_of(size) > size_of(match[2]) else line


def _generations(file: Path) -> dict[str, Any]:
    """Generations of logins and passwords in a copy of a stack file, by their keys."""
    return {
        key: group[key]
        for name, key in (("kafka", "login_generations"), ("gateway", "password_generations"))
        if key in (group := _settings(file, name))
    }


def _stage(generations: list[int]) -> tuple[int, int]:
    """How far a rotation is: the newest generation, and fewer of them at its end."""
    return max(generations, default=0), -len(generations)


def _changed(
    line: str, role: str | None, topics: Mapping[str, Mapping[str, int]], generations: Mapping[str, Any]
) -> str:
    """A line of the committed file with the copy's role, or what is more or newer in the copy."""
    if role is not None and _ROLE_LINE.fullmatch(line):
        return f"  {ROLE}: {role}"
    if match := _GENERATIONS_LINE.fullmatch(line):
        copied = generations.get(match[1].strip(" :"))
        newer = copied is not None and _stage(copied) > _stage(yaml.safe_load(match[2]))
        return f"{match[1]}{json.dumps(copied)}" if newer else line
    if match := _TOPICS_LINE.fullmatch(line):
        committed = yaml.safe_load(match[1])
        for name, copied in topics.items():
            known = committed.get(name, {})
            partitions = copied.get("partitions", 0)
            if partitions > known.get("partitions", topic(name).partitions):
                committed[name] = {**known, "partitions": partitions}
        return f"    topics: {json.dumps(committed)}"
    return line


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def _with(kept: list[str], lines: list[str]) -> list[str]:
    place = lines.index("config:") + 1 if kept else 0
    return [*lines[:place], *kept, *lines[place:]]


def inside(paths: LabPaths, command: list[str]) -> list[str]:
    """The command, run inside the first cluster's network namespace, from which the second one can be reached."""
    return [*network.enter(paths.netns), *command]
