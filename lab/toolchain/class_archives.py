"""The layer of Kafka's image that its Dockerfile makes by running Java: archived classes of this very Java and jars."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from lab.paths import cache_root
from lab.toolchain import debian, layers
from lab.toolchain.layers import Layer, file_digest, short_digest
from lab.toolchain.manifests import KAFKA_CLASSES
from lab.toolchain.tools import run_logged

_WRITTEN = ("opt/kafka/java.args", "opt/kafka/classes.jsa")
_ENTER = 'ip link set lo up; mount -t proc proc "$0/proc"; mount --rbind /dev "$0/dev"; exec chroot "$0" "$@"'


def in_root(root: Path, *command: str) -> list[str]:
    """Command that runs another one in a root folder, with a loopback address of its own."""
    return ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "bash", "-c", _ENTER, str(root), *command]


def unpacked(root: Path, *parts: Layer) -> None:
    """Lay layers in a root folder, with the times of files that they have in a pod: Java compares those of jars."""
    for part in parts:
        subprocess.run(["tar", "--extract", "--file", str(part.ensure()), "--directory", str(root)], check=True)


def kafka_classes() -> Layer:
    """Class path and archived classes of Kafka's programs, by the script that the Dockerfile runs."""
    base, jars = debian.base(), layers.kafka()

    def fill(root: Path) -> None:
        with tempfile.TemporaryDirectory(dir=root.parent) as name:
            image = Path(name)
            unpacked(image, base, jars)
            (image / "etc" / "hosts").write_text(f"127.0.0.1 localhost {socket.gethostname()}\n")
            shutil.copy(KAFKA_CLASSES, image / "classes.sh")
            log = cache_root() / "logs" / "kafka-classes.log"
            run_logged(in_root(image, "bash", "/classes.sh"), cwd=root, log=log)
            for file in _WRITTEN:
                (root / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.move(image / file, root / file)

    return Layer(f"kafka-classes-{short_digest((base.key, jars.key, file_digest(KAFKA_CLASSES), _ENTER))}", fill)
