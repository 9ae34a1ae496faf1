"""The real mirror as a process, from the files that its component renders. Only what is bound to a pod is rewritten."""

from __future__ import annotations

import re
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import requests
from requests.auth import HTTPBasicAuth

from components import java
from components.mirror import config
from components.mirror.config import MirrorFlow
from lab.toolchain import tools
from tests.support import kafka_nodes

SOURCE_PASSWORD = "sourcepassword1"
TARGET_PASSWORD = "targetpassword1"
SCRAPE_USER = "scrape-mirror-maker"
SCRAPE_PASSWORD = "mirrorscrapepassword1"


@dataclass
class MirrorProcess:
    """The mirror's folder and process."""

    folder: Path
    flow: MirrorFlow
    address: str
    process: subprocess.Popen[bytes] | None = None
    starts: list[float] = field(default_factory=list)

    @property
    def log(self) -> str:
        """All that it has said."""
        return (self.folder / "mirror.log").read_text()

    def rewrite(self, text: str) -> str:
        """Point absolute paths of the pod into the folder, and the metrics port to the mirror's own address."""
        moved = {
            config.AUTH_DIRECTORY: self.folder / "auth",
            config.METRICS_DIRECTORY: self.folder / "metrics",
            f"{config.CONFIG_DIRECTORY}/": f"{self.folder / 'config'}/",
            f"{config.TLS_DIRECTORY}/": f"{self.folder / 'tls'}/",
            java.ARGUMENTS: self.folder / "java.args",
            java.LIBRARIES: tools.libraries("kafka"),
            f"={config.METRICS_PORT}:": f"={self.address}:{config.METRICS_PORT}:",
        }
        for old, new in moved.items():
            text = text.replace(old, str(new))
        return text

    def write(self, *, source_authority: str, target_authority: str) -> None:
        """Write what the pod gets from its ConfigMap, Secrets and certificate."""
        kafka_nodes.Authority().issue(self.folder / "tls", config.WORKLOAD, (self.address,))
        (self.folder / "tls/ca.crt").rename(self.folder / "metrics-ca.crt")
        exporter = config.jmx_exporter(
            user=SCRAPE_USER, password=SCRAPE_PASSWORD, keystore_password=kafka_nodes.KEYSTORE_PASSWORD
        )
        files = {
            "java.args": kafka_nodes.class_path(),
            "tls/ca.crt": target_authority,
            f"config/{config.PROPERTIES}": config.render(config.mirror_properties(self.flow)),
            f"config/{config.SOURCE_AUTHORITY}": source_authority,
            "config/log4j2.yaml": config.log_configuration(),
            f"auth/{config.PASSWORDS}": config.passwords(SOURCE_PASSWORD, TARGET_PASSWORD),
            "metrics/jmx-exporter.yaml": exporter,
        }
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.rewrite(text))

    def start(self) -> None:
        """Start it, as the pod does."""
        command = [self.rewrite(word) for word in config.mirror_command(self.flow, "256m", kafka_nodes.jvm_flags())]
        with (self.folder / "mirror.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        self.starts.append(time.monotonic())

    def stop(self, *, kill: bool = False) -> None:
        """End it, in good order or at once."""
        if self.process is not None:
            (self.process.kill if kill else self.process.terminate)()
            try:
                self.process.wait(timeout=40)
            finally:
                self.process.kill()
                self.process.wait(timeout=60)
                self.process = None

    def memory_mib(self) -> int:
        """Resident memory."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        match = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert match
        return int(match[1]) // 1024

    def metrics(self, password: str = SCRAPE_PASSWORD) -> requests.Response:
        """What Prometheus gets."""
        return requests.get(
            f"https://{self.address}:{config.METRICS_PORT}/metrics",
            auth=HTTPBasicAuth(SCRAPE_USER, password),
            verify=str(self.folder / "metrics-ca.crt"),
            timeout=60,
        )
