"""What nobody else may read: passwords, keys and tokens stay in Secrets, and telemetry is masked.

Pods get secrets as read-only files that only their own user reads. What clients send is masked before it is written to
Kafka (O1, S2).
"""

from __future__ import annotations

import base64
import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from policy.documents import Format, files, parse, properties
from policy.model import UNKNOWN, Finding, Level, Node, Options, Resource, Rule, UnknownValueError
from policy.rules._dataplane import GATE, KAFKA, WRITERS, collectors
from policy.rules._kubernetes import WORKLOADS, at, containers, name_of, number, state, template
from policy.rules._values import each_known, finding, whole_number

_PATTERNS: tuple[tuple[str, tuple[str, ...], re.Pattern[str]], ...] = (
    # what it is; texts of which one must be there, to be quick; how it looks
    ("a private key", ("PRIVATE KEY",), re.compile(r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----")),
    ("a bcrypt hash", ("$2",), re.compile(r"\$2[abxy]?\$\d{2}\$[./A-Za-z0-9]{53}")),
    (
        "a password hash",
        ("$apr1$", "$1$", "$5$", "$6$", "$y$", "$argon2", "SHA"),
        re.compile(r"\$(?:apr1|1|5|6|y|argon2(?:i|d|id))\$[^\s:'\"]{8,}|\{S?SHA(?:256|512)?\}[\w+/=]{20,}"),
    ),
    (
        "a SCRAM credential",
        ("SCRAM-SHA-", "stored_key="),
        re.compile(r"SCRAM-SHA-\d+=\[[^\]]*(?:password|salted|stored_key)|\bstored_key="),
    ),
    (
        "a password in a login line",
        ("LoginModule",),
        re.compile(r"LoginModule[^;]*\bpassword\s*=\s*[\"']?(?!\$\{|\$\(|\$__)[^\"'\s;]+", re.IGNORECASE),
    ),
    ("a password in a URL", ("@",), re.compile(r"://[^\s/@:'\"]*:(?!\$\{|\$\(|\$__|%\()[^\s/@'\"]+@")),
    ("a web token", ("eyJ",), re.compile(r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}")),
    ("a cloud access key", ("AKIA", "ASIA"), re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    (
        "a header with credentials",
        ("Basic ", "Bearer "),
        re.compile(r"\b(?:Basic|Bearer) (?!\$\{|\$\()(?=[A-Za-z+/_=.-]*\d)[A-Za-z0-9+/_=.-]{16,}"),
    ),
    (
        "a token of a service",
        ("_", "xox", "glpat-"),
        re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|xox[abprs]-[\w-]{10,}|glsa_\w{20,}|glpat-[\w-]{20,})"),
    ),
)
_SECRET_WORDS = frozenset({"password", "passwd", "passphrase", "pwd", "secret", "token", "credential", "credentials"})
_SECRET_PAIRS = frozenset(
    {
        *((what, "key") for what in ("api", "access", "secret", "private", "encryption", "account", "signing", "hash")),
        ("password", "hash"),
        ("pass", "phrase"),
    }
)
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_REFERENCE = re.compile(
    r"\s*(?:\$\{[^}]+\}|\$\([^)]+\)|\$__(?:file|env|vault)\{[^}]+\}|\$[A-Z_][A-Z0-9_]*|%\([^)]+\)s|\{\{[^}]+\}\}"
    r"|(?:file:)?/[\w.@-]+(?:/[\w.@-]+)+|file:[\w./-]+|<[\w -]+>)\s*"
)
_HARMLESS = frozenset({"", "true", "false", "null", "none", "~", "required", "optional", "-"})
_OPAQUE = re.compile(r"[A-Za-z0-9+/_=-]{16,}")
_NO_KEYS = frozenset({Format.RULES})
"""Formats in which keys are free text, not settings."""


@functools.lru_cache(maxsize=4096)
def named_secret(key: str) -> bool:
    """Whether a key says that its value is a secret itself, not a file or a name of one."""
    words = [word.lower() for word in _WORDS.findall(key) if not word.isdigit()]
    if not words:
        return False
    return words[-1] in _SECRET_WORDS or tuple(words[-2:]) in _SECRET_PAIRS or words[-1].endswith("password")


def literal(value: object) -> bool:
    """Whether a value is written out, rather than a path, a placeholder, a switch or nothing."""
    if not isinstance(value, str):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return value.strip().lower() not in _HARMLESS and not _REFERENCE.fullmatch(value)


def material(text: str) -> str:
    """What secret a text has in it, or empty."""
    return next((what for what, marks, pattern in _PATTERNS if _any(marks, text) and pattern.search(text)), "")


def _any(marks: tuple[str, ...], text: str) -> bool:
    return any(mark in text for mark in marks)


def in_text(key: str, value: object) -> str:
    """What secret a named value is, or empty."""
    if isinstance(value, str) and (kind := material(value)):
        return kind
    return "a secret" if named_secret(key) and literal(value) else ""


@functools.lru_cache(maxsize=512)
def in_file(name: str, text: str) -> tuple[tuple[str, str], ...]:
    """Place and kind of every secret in a file: ``users.yml: admin``, ``a bcrypt hash``."""
    kind, content = parse(name, text)
    if isinstance(content, str):
        return tuple(_plain(name, text))
    pattern = material(text)
    matches = [
        (f"{name}: {path}", what)
        for path, key, value in _leaves(content, "", "")
        if (what := _leaf("" if kind in _NO_KEYS else key, value, pattern))
    ]
    if pattern and pattern not in {what for _, what in matches}:
        matches.append((name, pattern))
    return tuple(matches)


def _leaf(key: str, value: object, pattern: str) -> str:
    """What secret a single value is; patterns are looked for only where the whole file has one."""
    if pattern:
        return in_text(key, value)
    return "a secret" if key and named_secret(key) and literal(value) else ""


def _leaves(value: object, path: str, key: str) -> Iterator[tuple[str, str, object]]:
    """Path, key and value of everything that is no mapping and no list; elements have their list's key."""
    if isinstance(value, dict):
        for inner in value:
            quoted = str(inner) if "." not in str(inner) else f'"{inner}"'
            yield from _leaves(value[inner], f"{path}.{quoted}" if path else quoted, str(inner))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _leaves(inner, f"{path}[{index}]", key)
    else:
        yield path, key, value


def _plain(name: str, text: str) -> Iterator[tuple[str, str]]:
    if kind := material(text):
        yield name, kind
        return
    word = text.strip()
    if _OPAQUE.fullmatch(word) and re.search(r"\d", word) and re.search(r"[A-Za-z]", word):
        yield name, "one opaque word"
    elif named_secret(name) and "\n" not in word and literal(word):
        yield name, "a secret"
    else:
        for key, value in properties(text).items():
            if re.fullmatch(r"[\w.-]+", key) and named_secret(key) and literal(value.strip("\"'")):
                yield f"{name}: {key}", "a secret"
                return


_PASSWORD = "RandomPassword"  # noqa: S105
_RESULTS = ("result", "bcryptHash")
_FIX_FILE = "put it into a Secret and name the mounted file"


def _config_maps(resource: Resource, options: Options) -> Iterator[Finding]:
    if resource.kubernetes:
        binary = ((name, _decoded(node.text())) for name, node in resource.node["binaryData"].items())
        yield from each_known((_shown_by(resource, files(resource)), _shown_by(resource, binary)))


def _shown_by(resource: Resource, contents: Iterable[tuple[str, str]]) -> Iterator[Finding]:
    for name, text in contents:
        for where, what in in_file(name, text):
            yield Finding(resource=resource, where=where, problem=f"the ConfigMap shows {what}", fix=_FIX_FILE)


def _decoded(text: Any) -> str:
    try:
        return base64.b64decode(str(text), validate=True).decode()
    except ValueError:
        return ""


def _commands(resource: Resource, options: Options) -> Iterator[Finding]:
    for container in containers(template(resource)["spec"]):
        yield from each_known(_variable(resource, container, node) for node in container["env"].elements())
        yield from each_known(_arguments(resource, container, container[group]) for group in ("command", "args"))


def _variable(resource: Resource, container: Node, variable: Node) -> Iterator[Finding]:
    name, value = variable["name"].text(), variable["value"]
    if what := in_text(name, value.value):
        yield at(resource, value, f"{name} of {name_of(container)} shows {what}", _FIX_FILE)


def _arguments(resource: Resource, container: Node, words: Node) -> Iterator[Finding]:
    previous = ""
    for word in words.elements():
        key, separator, value = word.text().partition("=")
        if not separator:
            key, value = (previous, word.text()) if previous.startswith("-") else ("", word.text())
        following = value if separator or not value.startswith("-") else ""
        if what := in_text(key.lstrip("-"), following) or in_text("", word.text()):
            shown = f"{key} of {name_of(container)}" if key else f"an argument of {name_of(container)}"
            yield at(resource, word, f"{shown} shows {what}", _FIX_FILE)
        previous = "" if separator else word.text()


def _annotations(resource: Resource, options: Options) -> Iterator[Finding]:
    if not resource.kubernetes:
        return
    for metadata in (resource.node["metadata"], template(resource)["metadata"]):
        for group in ("annotations", "labels"):
            yield from each_known(_label(resource, group, *annotation) for annotation in metadata[group].items())


def _label(resource: Resource, group: str, key: str, node: Node) -> Iterator[Finding]:
    if what := in_text(key.rsplit("/", 1)[-1], node.value):
        yield at(resource, node, f"{group.rstrip('s')} {key} shows {what}", "remove it, and use a Secret")


def _length(resource: Resource, options: Options) -> Iterator[Finding]:
    node = resource.node["length"]
    if resource.type.startswith("random:") and (node.value or 0) < options["least"]:
        yield at(resource, node, f"the password has {node.value or 0:g} characters", f"make it {options['least']} long")


def _results(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    passwords: dict[str, str] = {}
    unknown = ""
    for resource in resources:
        if resource.kind != _PASSWORD:
            continue
        for key in _RESULTS:
            value = resource.props.get(key)
            if value is UNKNOWN:
                unknown = unknown or f"{resource.label}, {key}"
            elif isinstance(value, str) and value:
                passwords[value] = f"{resource.name} ({key})"
                passwords[base64.b64encode(value.encode()).decode()] = f"{resource.name} ({key}, base64)"
    for resource in resources:
        if resource.kubernetes:
            yield from _shown(resource, passwords)
    if unknown:
        raise UnknownValueError(unknown)


def _shown(resource: Resource, passwords: Mapping[str, str]) -> Iterator[Finding]:
    hidden = (
        ("data", "stringData") if resource.kind == "Secret" and resource.type.startswith("kubernetes:core/") else ()
    )
    for key, part in resource.node.items():
        if key in hidden:
            continue
        for node in part.walk():
            if not isinstance(node.raw, str):
                continue
            for password, name in passwords.items():
                if password in node.raw:
                    yield at(
                        resource, node, f"it shows the password {name}", "put it into a Secret and mount it as a file"
                    )


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


def _masked(resource: Resource, options: Options) -> Iterator[Finding]:
    for collector in collectors(resource):
        if not any(component.type in WRITERS for component in collector.components("exporters")):
            continue
        for pipeline in collector.entries:
            receivers = [collector.component("receivers", name) for name in pipeline.node["receivers"].texts()]
            if all(receiver.type in KAFKA for receiver in receivers) or pipeline.has(GATE):
                continue
            problem = f"pipeline {pipeline.name} takes telemetry to Kafka unmasked: no processor is the gate"
            yield finding(resource, pipeline.node["processors"], problem, f"put {GATE} among its processors")


RULES: tuple[Rule, ...] = (
    Rule(
        id="secret-in-config-map",
        promise="No ConfigMap holds a password, key, token or hash of one.",
        why="Everybody who may look at the namespace reads it, and it is neither encrypted nor audited.",
        sources=("K5", "P2", "O3"),
        kinds=frozenset({"ConfigMap"}),
        resource=_config_maps,
    ),
    Rule(
        id="secret-in-command",
        promise="No variable and no argument of a container is a secret.",
        why="Command lines and variables are shown by the API server, by the node's process list and in crash reports.",
        sources=("K5", "P2"),
        kinds=WORKLOADS,
        resource=_commands,
    ),
    Rule(
        id="secret-in-metadata",
        promise="No annotation and no label is a secret.",
        why="Metadata is shown wherever the object is listed.",
        sources=("K5", "P2"),
        resource=_annotations,
    ),
    Rule(
        id="password-length",
        promise="Every password that the program makes is long.",
        why="A short one can be guessed from its hash.",
        sources=("K5", "P2"),
        options={"least": whole_number(24, "least characters of a password")},
        kinds=frozenset({_PASSWORD}),
        resource=_length,
    ),
    Rule(
        id="password-only-in-secrets",
        promise="A password that the program makes appears in Secrets alone.",
        why="A copy anywhere else is a password for everybody who may read that object.",
        sources=("K5", "P2", "O3"),
        stack=_results,
    ),
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
    Rule(
        id="collector-masks-before-kafka",
        promise="A collector that writes what clients send to Kafka has the gate in every pipeline that takes it.",
        why="Names, addresses and tokens of people would be in Kafka, every store and every backup, readable.",
        sources=("O1", "S2"),
        kinds=frozenset({"ConfigMap", "Secret"}),
        resource=_masked,
    ),
)
"""Rules of this concern."""
