"""``python -m tests.sdks [java] [node]``: what the gate refuses and drops of what SDKs send by default.

It needs npm, Maven, a JDK, Node and their registries, so it is no part of ``make test``. What it fetches lies in the
cache of the lab's tools, by version. The exit code is 1 where an SDK's program fails, nothing of a signal arrives, or
anything is refused; dropped attributes are printed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from components.telemetry.gate_catalogue import gate_catalogue
from components.telemetry.layers import Signal
from lab.paths import cache_root
from lab.toolchain import tools
from tests.config.gate_process import running_gate
from tests.config.test_ingest_page import settings

HERE = Path(__file__).parent
JAVA_AGENT = "2.33.1"
_AGENT = f"io.opentelemetry.javaagent:opentelemetry-javaagent:{JAVA_AGENT}:jar"
_LIMIT_S = 900
EXTRA = {
    "java": {"OTEL_INSTRUMENTATION_KAFKA_METRIC_REPORTER_ENABLED": "false"},
    "node": {"OTEL_METRICS_EXPORTER": "otlp", "OTEL_LOGS_EXPORTER": "otlp"},
}
"""What the page's table says besides the variables of every SDK."""


def prepared(language: str) -> Path:
    """Folder with the program and what it needs, made once for each version of both."""
    source = HERE / language
    key = f"{JAVA_AGENT}-" if language == "java" else ""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(source.iterdir()))).hexdigest()[:10]
    target = cache_root() / "sdks" / f"{language}-{key}{digest}"

    def fill(work: Path) -> None:
        log = work / "log"
        for path in source.iterdir():
            shutil.copy(path, work)
        if language == "java":
            tools.maven_file(_AGENT, work, log)
            tools.run_logged(["javac", "App.java"], cwd=work, log=log)
        else:
            tools.run_logged(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=work, log=log)

    if not target.is_dir():
        tools.atomically(target, fill)
    return target


def command(language: str) -> list[str]:
    """How the page starts a program."""
    if language == "java":
        return ["java", f"-javaagent:opentelemetry-javaagent-{JAVA_AGENT}.jar", "-cp", ".", "App"]
    return ["node", "--require", "@opentelemetry/auto-instrumentations-node/register", "app.js"]


def run(language: str) -> bool:
    """Run one program against a gate, print what became of its telemetry; returns whether all of it was let in."""
    folder = prepared(language)
    with (
        tempfile.TemporaryDirectory() as place,
        running_gate(Path(place), gate_catalogue({"business": ["business"]})) as gate,
    ):
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
        variables = settings(gate.endpoint, gate.ca_file) | EXTRA[language] | {"OTEL_METRIC_EXPORT_INTERVAL": "1500"}
        done = subprocess.run(
            command(language),
            env=inherited | variables,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
        )
        arrived = {signal.value: len(gate.arrived.bodies[signal]) for signal in Signal}
        refused, dropped = gate.counted("refused_items_total"), gate.counted("dropped_attributes_total")
        reports = [line for line in (Path(place) / "otelcol.log").read_text().splitlines() if "refused" in line]
    print(f"{language}: exit code {done.returncode}, requests that arrived {arrived}")
    print(f"  refused {refused or 'nothing'}; dropped attributes {dropped or 'none'}", *reports, sep="\n  ")
    if done.returncode:
        print(done.stderr[-2000:])
    return done.returncode == 0 and all(arrived.values()) and not refused


def main() -> None:
    """Run the programs that are named, or all of them."""
    languages = sys.argv[1:] or list(EXTRA)
    unknown = set(languages) - set(EXTRA)
    if unknown:
        sys.exit(f"{', '.join(sorted(unknown))}: allowed are {', '.join(EXTRA)}")
    results = [run(language) for language in languages]
    sys.exit(not all(results))


if __name__ == "__main__":
    main()
