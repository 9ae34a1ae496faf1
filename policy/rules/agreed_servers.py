"""Settings of Prometheus, PostgreSQL and the search cluster that nobody agreed on (``policy/agreed.yaml``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from policy.documents import Format, documents, files
from policy.model import Finding, Node, Option, Options, Resource, Rule
from policy.rules import _formats
from policy.rules._agreed import ADD, agreed, fits, table, unknown_keys
from policy.rules._values import finding, seconds

_FILES = frozenset({"ConfigMap", "Secret"})
_SYNCHRONOUS_FROM: Final = 2
"""With so many standbys a commit waits for one of them."""


def _prometheus(resource: Resource, options: Options) -> Iterator[Finding]:
    table = agreed()["prometheus_settings"]
    for document in documents(resource, Format.PROMETHEUS):
        node = document.node
        yield from unknown_keys(resource, node, table["file"])
        yield from unknown_keys(resource, node["global"], table["global"])
        for section in (node["global"], *node["scrape_configs"].elements()):
            for key in ("scrape_interval", "evaluation_interval"):
                yield from _interval(resource, section[key], float(options["seconds"]))
        for job in node["scrape_configs"].elements():
            yield from unknown_keys(resource, job, table["jobs"])
            for key in ("relabel_configs", "metric_relabel_configs"):
                for step in job[key].elements():
                    action = step["action"].text() or "replace"
                    text = action if action == "replace" else f"{action} {step['regex'].text()}"
                    if not fits(text, table[key]):
                        yield finding(resource, step, f"targets or samples are left out: {text}", ADD)
                    becomes = f"{step['target_label'].text()} {step['replacement'].text() or '$1'}"
                    if action == "replace" and not fits(becomes, table["relabel_targets"]):
                        yield finding(resource, step, f"targets or samples are called something else: {becomes}", ADD)


def _interval(resource: Resource, node: Node, longest: float) -> Iterator[Finding]:
    if node.exists and not 0 < (seconds(node.text()) or 0) <= longest:
        yield finding(
            resource, node, f"an alert comes too late: it is {node.text()}", f"set it to {longest:g}s at the most"
        )


def _postgres(resource: Resource, options: Options) -> Iterator[Finding]:
    for name, text in files(resource):
        if _formats.is_postgres(text):
            yield from _postgres_settings(resource, name, _formats.postgres(text))
        elif name.endswith(".conf") and _formats.is_hba(text):
            yield from _logins(resource, name, [" ".join(line.text.split()) for line in _formats.hba(text)])
        elif name == "pg_ident.conf":
            for line in text.splitlines():
                if line.split("#", 1)[0].strip():
                    yield finding(resource, f"{name}: {line}", "one user of the system is another of the database", ADD)


def _logins(resource: Resource, name: str, lines: Sequence[str]) -> Iterator[Finding]:
    own, databases = agreed()["postgres_logins"]["own"], agreed()["postgres_logins"]["databases"]
    for number, line in enumerate(lines, 1):
        if not fits(line, [*own, *databases]):
            yield finding(resource, f"{name}: line {number}", f"a login that is not agreed on: {line}", ADD)
    if [*lines[: len(own)]] != own:
        problem = "the lines of the server's own logins are not all there, first and in the agreed order"
        yield finding(resource, name, problem, "write them as in postgres_logins of policy/agreed.yaml")


def _postgres_settings(resource: Resource, name: str, settings: Mapping[str, str]) -> Iterator[Finding]:
    table: Mapping[str, str] = agreed()["postgres_settings"]
    for key, value in settings.items():
        if key not in table or not fits(value, [table[key]]):
            problem = f"{key} is not agreed on" if key not in table else f"{key} is {value}, which is not agreed on"
            yield finding(resource, f"{name}: {key}", problem, ADD)
    standbys = settings.get("obs.standbys", "0")
    if standbys.isdigit() and int(standbys) >= _SYNCHRONOUS_FROM:
        names = settings.get("synchronous_standby_names", "")
        if not names.startswith("ANY 1 ("):
            yield finding(
                resource,
                f"{name}: synchronous_standby_names",
                f"commits are confirmed that no standby has: it is {names or 'empty'}",
                "let a commit wait for any one of the members",
            )


def _search(resource: Resource, options: Options) -> Iterator[Finding]:
    for document in documents(resource, Format.SEARCH):
        content = document.node.value
        if isinstance(content, Mapping):
            yield from table("search").findings(resource, Node(dict(_formats.flatten(content)), f"{document.name}:"))
    for name, text in files(resource):
        for line in text.splitlines() if name == "jvm.options" else ():
            if line.strip() and not fits(line.strip(), agreed()["search_jvm_options"]):
                yield finding(resource, f"{name}: {line}", "an option of the JVM that is not agreed on", ADD)


RULES: tuple[Rule, ...] = (
    Rule(
        id="prometheus-settings-agreed",
        promise="Prometheus reads every target in time, leaves out what is agreed only and sends samples nowhere else.",
        why="Samples that are dropped, fetched once an hour or by way of a proxy raise no alert.",
        sources=("P1", "P3"),
        options={
            "seconds": Option(
                default=60,
                schema={"type": "number"},
                meaning="longest time between two scrapes or evaluations",
            )
        },
        kinds=_FILES,
        resource=_prometheus,
    ),
    Rule(
        id="postgres-settings-agreed",
        promise="PostgreSQL has agreed settings and logins only.",
        why="Files from elsewhere, libraries, archives, weak ciphers or one more login open every database.",
        sources=("G1",),
        kinds=_FILES,
        resource=_postgres,
    ),
    Rule(
        id="search-settings-agreed",
        promise="Search nodes have agreed settings with agreed values, and agreed options of the JVM only.",
        why="Pages of other sites, debuggers and realms of one's own come in past users and roles.",
        sources=("J1", "J3"),
        kinds=_FILES,
        resource=_search,
    ),
)
