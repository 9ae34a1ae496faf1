"""The first `pulumi up` of a stack begins with a preview, on a cluster that has nothing of it yet: the pack passes it.

Where no cluster answers, the Kubernetes provider leaves the namespace of objects unknown; else it puts its own default
there, which has to be the platform's.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import yaml

from tests.config.kube_api import ADMIN, kube_api
from tests.policy.engine import Engine

STACK, CONTEXT = "local", "obs-lab"


def test_the_pack_passes_a_first_preview_on_a_cluster_that_answers(tmp_path: Path) -> None:
    engine = Engine.at(tmp_path, STACK)
    folder = tmp_path / "cluster"
    folder.mkdir()
    with kube_api(folder) as api:
        content = yaml.safe_load(api.kubeconfig.read_text())
        content["contexts"] = [
            {**context, "name": CONTEXT} for context in content["contexts"] if context["name"] == ADMIN
        ]
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(yaml.safe_dump({**content, "current-context": CONTEXT}))
        done = replace(engine, kubeconfig=kubeconfig).preview()
    assert re.findall(r"- \[mandatory\] +(\S+)", done.stdout) == [], done.stdout[-4000:]
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert (engine.folder / "home" / "logs").is_file(), "the engine keeps logs, which take much of its time"
