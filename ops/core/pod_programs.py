"""Programs that run in a container of a running pod, by ``kubectl exec``."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ops.core.errors import OpsError, one_line
from ops.core.kube import Kube, kubectl_target

EXEC_LIMIT_S = 60.0


def run(
    kube: Kube,
    pod: str,
    container: str,
    command: Sequence[str],
    *,
    given: str | Path = "",
    seconds: float = EXEC_LIMIT_S,
) -> str:
    """Run a program in a container; what it prints.

    Args:
        kube: The namespace.
        pod: Name of the pod.
        container: Name of the container.
        command: Program and arguments.
        given: Text for its standard input, or the file that is it.
        seconds: Time that it has.

    Raises:
        OpsError: It failed, with the last line that it said; or it took too long and was ended.
    """
    program = shutil.which("kubectl")
    if program is None:
        raise OpsError("`kubectl` is not on PATH: it reaches into the pods")
    line = [program, *kubectl_target(kube.namespace, kube.context), "exec", "-i", pod, "-c", container, "--", *command]
    what = f"{command[0]} in {pod}"
    try:
        if isinstance(given, Path):
            with given.open("rb") as source:
                done = subprocess.run(line, stdin=source, capture_output=True, timeout=seconds, check=False)
        else:
            done = subprocess.run(line, input=given.encode(), capture_output=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        raise OpsError(f"{what} took over {seconds:.0f} s and was ended") from None
    except OSError as error:
        raise OpsError(f"{what}: {error.strerror}") from None
    if done.returncode != 0:
        said = [line for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
        # kubectl's own last line only repeats the exit code.
        told = [line for line in said if not line.startswith("command terminated with exit code")] or said
        raise OpsError(f"{what} failed: {one_line(told[-1] if told else f'exit code {done.returncode}')}")
    return done.stdout.decode(errors="replace")
