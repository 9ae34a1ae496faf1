"""The prober: it serves TLS, asks over verified TLS only, and is asked about nothing in clear text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from policy.documents import Document, Format, documents
from policy.model import Finding, Node, Options, Resource, Rule
from policy.rules._kubernetes import WORKLOADS, processes
from policy.rules._values import FILES, Unknowns, client_tls, finding, flag, loopback, shown

PROGRAM: Final = ("blackbox_exporter", "blackbox-exporter")


def _serves(resource: Resource, options: Options) -> Iterator[Finding]:
    for process in processes(resource):
        if not any(process.runs(name) for name in PROGRAM) or process.flag("--web.config.file"):
            continue
        addresses = process.flags("--web.listen-address") or ["0.0.0.0:9115"]
        if not all(loopback(address) for address in addresses):
            state = "is empty" if process.has("--web.config.file") else "is not given"
            problem = f"--web.config.file {state}: anybody may let the prober connect to anything"
            yield finding(resource, process.where, problem, "add --web.config.file")


def _modules(resource: Resource, options: Options) -> Iterator[Finding]:
    for document in documents(resource, Format.PROBER):
        for name, module in document.node["modules"].items():
            yield from _module(resource, name, module)


def _module(resource: Resource, name: str, module: Node) -> Iterator[Finding]:
    prober = module["prober"].text()
    settings = module[prober]
    switch = {"http": "fail_if_not_ssl", "tcp": "tls", "grpc": "tls"}.get(prober)
    if switch is None:
        return
    if flag(settings[switch]) is not True:
        problem = f"the module {name} is content with clear text: {switch} {shown(settings[switch])}"
        yield finding(resource, settings[switch], problem, f"set {switch} to true")
    yield from client_tls(resource, settings["tls_config"], what=f"what the module {name} asks")


def _targets(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    unknown = Unknowns()
    modules = _known_modules(resources, unknown)
    for document, job in _jobs(resources, unknown):
        yield from _of_job(document, job, modules)
    unknown.tell()


def _missing(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    unknown = Unknowns()
    modules = _known_modules(resources, unknown)
    targets = [(document, job, where) for document, job in _jobs(resources, unknown) for where in _asked_modules(job)]
    unknown.tell()
    for document, job, where in targets:
        if where.text() not in modules:
            problem = f"job {job['job_name'].text()} asks for {where.text()}, which no prober of the stack knows"
            yield finding(document.resource, where, problem, "name one of the prober's modules, or add it there")


def _known_modules(resources: Sequence[Resource], unknown: Unknowns) -> dict[str, str]:
    """Ways of probing and their kinds."""
    prober_files = (
        document for resource in resources for document in unknown.known(documents(resource, Format.PROBER))
    )
    return {
        name: module["prober"].text()
        for prober_file in prober_files
        for name, module in prober_file.node["modules"].items()
    }


def _jobs(resources: Sequence[Resource], unknown: Unknowns) -> Iterator[tuple[Document, Node]]:
    """Jobs that hand their targets to a prober."""
    for resource in resources:
        for document in unknown.known(documents(resource, Format.PROMETHEUS)):
            for job in document.node["scrape_configs"].elements():
                if probing(job):
                    yield document, job


def _asked_modules(job: Node) -> Iterator[Node]:
    """Where a job says how its targets are looked at."""
    yield from job["params"]["module"].elements()
    for group in job["static_configs"].elements():
        if group["labels"]["__param_module"].text():
            yield group["labels"]["__param_module"]
    for step in job["relabel_configs"].elements():
        replacement = step["replacement"]
        if step["target_label"].text() == "__param_module" and replacement.text() and "$" not in replacement.text():
            yield replacement


def probing(job: Node) -> bool:
    """Whether it hands its targets to a prober."""
    return any(
        step["target_label"].text() == "__param_target" and "__address__" in step["source_labels"].texts()
        for step in job["relabel_configs"].elements()
    )


def _of_job(document: Document, job: Node, modules: Mapping[str, str]) -> Iterator[Finding]:
    name = job["job_name"].text()
    for group in job["static_configs"].elements():
        module = group["labels"]["__param_module"].text() or job["params"]["module"][0].text()
        for target in group["targets"].elements():
            scheme, separator, _ = target.text().partition("://")
            if separator and scheme != "https":
                problem = f"job {name} has {target.text()} probed in clear text"
                yield finding(document.resource, target, problem, "give it an https address")
            elif not separator and modules.get(module) == "http":
                problem = f"job {name} has {target.text()} probed in clear text: {module} asks by HTTP"
                yield finding(document.resource, target, problem, "write https:// before it")


RULES: tuple[Rule, ...] = (
    Rule(
        id="prober-serves-tls",
        promise="The prober is started with a web configuration.",
        why="It connects to whatever it is asked to, past the NetworkPolicies of whoever asks, with its certificate.",
        sources=("P2",),
        kinds=WORKLOADS,
        resource=_serves,
    ),
    Rule(
        id="prober-modules-tls",
        promise="Every way of probing demands TLS and verifies the certificate by an authority.",
        why="A probe that is content with less says of an open or a false endpoint that all is well.",
        sources=("K5", "P2", "P3"),
        kinds=FILES,
        resource=_modules,
    ),
    Rule(
        id="prober-modules-known",
        promise="Every way of probing that Prometheus asks for is one that the prober has.",
        why="The prober refuses what it does not know, and the endpoint is not looked at.",
        sources=("P3",),
        stack=_missing,
    ),
    Rule(
        id="prober-targets-tls",
        promise="Prometheus has nothing probed in clear text.",
        why="An endpoint that also answers in clear text would be found in order, and its certificate never looked at.",
        sources=("P2", "P3"),
        stack=_targets,
    ),
)
