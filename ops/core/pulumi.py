"""A stack's settings, and ``pulumi up`` with the policy pack: also in a hurry nothing unsafe is deployed."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

from components.cluster import NEW_ROLE
from ops.core.errors import OpsError, one_line
from ops.core.platform import PROJECT
from ops.core.terminal import end, say, uninterrupted

ROLE_KEY, SETTINGS_KEY = "observability:role", "observability:settings"
COMMAND = "OBS_PULUMI_UP"
"""Variable with another command line for ``pulumi up``; Pulumi itself has to be given the policy pack in it."""
PACK, PACK_FILE, PACK_OPTION = "policy", "PulumiPolicy.yaml", "--policy-pack"
UP_LIMIT_S = 1800.0
ENDS_S = 120.0
"""What Pulumi has to finish what is under way, once it is asked to end."""
_LIMIT_S = 60.0
_THROWN = re.compile(r"\w*(Error|Exception): ")
_VIOLATION = re.compile(r"^(- )?\[mandatory\]")
_REFRESH_LIMIT_S = 300.0
_SKIP = "--skip-preview"
_OPTIONS = ("--yes", _SKIP, "--non-interactive", "--suppress-outputs", "--color=never")
_UP, _REFRESH = ("pulumi", "up", *_OPTIONS), ("pulumi", "refresh", *_OPTIONS)
_PREVIEW = ("pulumi", "preview", "--non-interactive", "--color=never")


def set_role(role: str, stack: str = "", cwd: Path = PROJECT) -> None:
    """Write the role into the stack's file; ``stack`` empty is the selected one.

    Raises:
        OpsError: Pulumi is not there, refuses, or does not answer.
    """
    _set([ROLE_KEY, role], stack, cwd)


def set_partitions(topic: str, partitions: int, stack: str = "", cwd: Path = PROJECT) -> None:
    """Write a topic's number of partitions into the stack's file; ``stack`` empty is the selected one.

    Raises:
        OpsError: Pulumi is not there, refuses, or does not answer.
    """
    _set(["--path", f'{SETTINGS_KEY}.topics["{topic}"].partitions', str(partitions)], stack, cwd)


def set_shards(shards: int, stack: str = "", cwd: Path = PROJECT) -> None:
    """Write the number of shards into the stack's file; ``stack`` empty is the selected one.

    Raises:
        OpsError: Pulumi is not there, refuses, or does not answer.
    """
    _set(["--path", f"{SETTINGS_KEY}.prometheus.shards", str(shards)], stack, cwd)


def set_digest(image: str, digest: str, stack: str = "", cwd: Path = PROJECT) -> None:
    """Write an image's digest into the stack's file; ``stack`` empty is the selected one.

    Args:
        image: Short name, as in ``components.versions``.
        digest: ``sha256:...``.
        stack: Its name.
        cwd: Folder of the project.

    Raises:
        OpsError: Pulumi is not there, refuses, or does not answer.
    """
    _set(["--path", f'{SETTINGS_KEY}.images.digests["{image}"]', digest], stack, cwd)


def set_storage(part: str, size: str, stack: str = "", cwd: Path = PROJECT) -> None:
    """Write the size of a part's volumes into the stack's file; ``stack`` empty is the selected one.

    Raises:
        OpsError: Pulumi is not there, refuses, or does not answer.
    """
    _set(["--path", f"{SETTINGS_KEY}.storage.{part}", size], stack, cwd)


def set_generations(place: Sequence[str], generations: Sequence[int], stack: str = "", cwd: Path = PROJECT) -> None:
    """Write generations of passwords into the stack's file; ``stack`` empty is the selected one.

    Interrupted, it leaves what was there, or two equal numbers, with which no update begins.

    Args:
        place: Group and key of the settings.
        generations: One, or two with the newer one first.
        stack: Its name.
        cwd: Folder of the project.

    Raises:
        OpsError: Pulumi is not there, refuses, or does not answer.
    """
    path = ".".join((SETTINGS_KEY, *place))
    newest, *former = generations
    for older in former:
        for number in (0, 1):
            _set(["--path", f"{path}[{number}]", str(older)], stack, cwd)
    _set(["--path", f"{path}[0]", str(newest)], stack, cwd)
    if not former:
        command = ["pulumi", "config", "rm", "--path", f"{path}[1]", "--non-interactive", *_stack(stack)]
        _run(command, "pulumi config rm", _LIMIT_S, stack, cwd)


def set_broker(number: int, address: str, stack: str = "", cwd: Path = PROJECT) -> None:
    """Write a broker's address into the stack's file; the number after the last one adds a broker.

    Raises:
        OpsError: Pulumi is not there, refuses, or does not answer.
    """
    for key in ("host", "address"):
        _set(["--path", f"{_broker(number)}.{key}", address], stack, cwd)


def unset_broker(number: int, stack: str = "", cwd: Path = PROJECT) -> None:
    """Take a broker out of the stack's file; it must have no copies (`ops.kafka.rebalance`).

    Raises:
        OpsError: Pulumi is not there, refuses, or does not answer.
    """
    command = ["pulumi", "config", "rm", "--path", _broker(number), "--non-interactive", *_stack(stack)]
    _run(command, "pulumi config rm", _LIMIT_S, stack, cwd)


def _broker(number: int) -> str:
    return f"{SETTINGS_KEY}.kafka.brokers[{number}]"


def refresh(targets: Sequence[str], stack: str = "", cwd: Path = PROJECT) -> None:
    """Let the state follow what is in the cluster, for some resources.

    Args:
        targets: Their URNs, with ``*`` for a part of a URN and ``**`` for anything.
        stack: Empty is the selected one.
        cwd: Folder of the project.

    Raises:
        OpsError: Pulumi is not there, refuses, or does not answer.
    """
    chosen = [word for target in targets for word in ("--target", target)]
    _run([*_REFRESH, *chosen, *_stack(stack)], "pulumi refresh", _REFRESH_LIMIT_S, stack, cwd)


def up(
    stack: str = "", cwd: Path = PROJECT, role: str = "", target_replace: str = "", *, preview: bool = False
) -> None:
    """Bring a stack up; what Pulumi says is kept in a file when it fails.

    Args:
        stack: Its name; empty: the selected one.
        cwd: Folder of the project.
        role: The role that its region gets by this; empty: the one that it has.
        target_replace: URN, with ``**`` for anything, of what is made anew, while all else stays; empty: everything is
            brought up.
        preview: First look at everything, so that what a policy of the whole stack forbids is not begun: policies of
            that kind are asked at the end of an update, when what is to go has gone.

    Raises:
        OpsError: Pulumi or the policy pack is not there, a policy is violated, the command fails, or it needs longer
            than ``UP_LIMIT_S``.
    """
    given = shlex.split(os.environ.get(COMMAND, ""))
    # Another command line knows the stack from PULUMI_STACK.
    command = _checked(given) if given else [*_UP, *_policies(cwd), *_stack(stack)]
    command += ["--target-replace", target_replace] if target_replace else []
    if preview:
        command = [word for word in command if word != _SKIP]
    _run(command, shlex.join(given) or "pulumi up", UP_LIMIT_S, stack, cwd, {NEW_ROLE: role} if role else {})


def preview_shown(stack: str = "", cwd: Path = PROJECT) -> None:
    """Show in the terminal what an update would change, and what policies say of it.

    Raises:
        OpsError: Pulumi or the policy pack is not there, a policy is violated, or the command fails.
    """
    _run([*_PREVIEW, *_policies(cwd), *_stack(stack)], "pulumi preview", UP_LIMIT_S, stack, cwd, shown=True)


def up_shown(stack: str = "", cwd: Path = PROJECT, *, preview: bool) -> None:
    """Bring a stack up, and show in the terminal what Pulumi says.

    Args:
        stack: Its name; empty: the selected one.
        cwd: Folder of the project.
        preview: First look at everything, as of `up`.

    Raises:
        OpsError: As of `up`.
    """
    options = [word for word in _UP if word != _SKIP or not preview]
    _run([*options, *_policies(cwd), *_stack(stack)], "pulumi up", UP_LIMIT_S, stack, cwd, shown=True)


def _set(words: list[str], stack: str, cwd: Path) -> None:
    command = ["pulumi", "config", "set", *words, "--non-interactive", *_stack(stack)]
    _run(command, "pulumi config set", _LIMIT_S, stack, cwd)


def _policies(cwd: Path) -> list[str]:
    pack = cwd / PACK
    if not (pack / PACK_FILE).is_file():
        raise OpsError(
            f"the policy pack is not at {pack}: run from a whole checkout of this repository, or set {COMMAND} to a "
            f"command with {PACK_OPTION}"
        )
    return [PACK_OPTION, str(pack)]


def _checked(command: list[str]) -> list[str]:
    """Another command line, if it does not call Pulumi without the pack; a script of one's own is trusted."""
    with_pack = any(word.partition("=")[0] == PACK_OPTION for word in command)
    if Path(command[0]).name == "pulumi" and not with_pack:
        raise OpsError(f"{COMMAND} calls pulumi without {PACK_OPTION}: add `{PACK_OPTION} {PACK}` to it")
    return command


def _stack(stack: str) -> list[str]:
    return ["--stack", stack] if stack else []


def _run(
    command: list[str],
    what: str,
    limit_s: float,
    stack: str,
    cwd: Path,
    variables: Mapping[str, str] = MappingProxyType({}),
    *,
    shown: bool = False,
) -> None:
    """Run Pulumi to its end; what it says goes to the terminal, or into a file that stays when it fails."""
    program = shutil.which(command[0])
    if program is None:
        raise OpsError(f"`{command[0]}` is not on PATH: install it, or run through `python -m lab exec --`")
    environment = {**os.environ, **({"PULUMI_STACK": stack} if stack else {}), **variables}
    if shown:
        if _ended([program, *command[1:]], what, limit_s, cwd, environment, None, "see above"):
            raise OpsError(f"`{what}` failed: see above; repeat once it is mended")
        return
    with tempfile.NamedTemporaryFile("wb", prefix="obs-pulumi-", suffix=".log", delete=False) as log:
        file = Path(log.name)
        code = _ended([program, *command[1:]], what, limit_s, cwd, environment, log, f"what it said is in {file}")
    if code:
        raise OpsError(f"`{what}` failed: {_reason(file)}: all that it said is in {file}")
    file.unlink()


def _ended(
    command: list[str],
    what: str,
    limit_s: float,
    cwd: Path,
    environment: Mapping[str, str],
    log: IO[bytes] | None,
    where: str,
) -> int:
    """Run a command to its end; its exit code."""
    with started(
        command,
        f"`{what}`",
        where,
        say,
        cwd=cwd,
        env=environment,
        stdout=log,
        stderr=subprocess.STDOUT if log else None,
        stdin=subprocess.DEVNULL,
    ) as process:
        try:
            return process.wait(limit_s)
        except subprocess.TimeoutExpired:
            left = end_update(process)
            raise OpsError(f"`{what}` did not end in {limit_s:.0f} s{left}: {where}") from None


@contextmanager
def started(
    command: list[str], what: str, ends: str, tell: Callable[[str], None], **options: Any
) -> Iterator[subprocess.Popen[Any]]:
    """A process of Pulumi in a session of its own, which is asked to end where the block is left while it runs.

    Signals wait until it is there: one that comes while it starts would leave an update that nobody ends.

    Args:
        command: The command line.
        what: How it is called in what is told.
        ends: What is told of its end.
        tell: Is given what is told.
        **options: Of ``subprocess.Popen``.
    """

    def ask(*_: object) -> None:
        if process.poll() is None:
            tell(f"{what} is asked to end, {ends}")
            if left := end_update(process):
                tell(f"{what} was ended{left}")

    with ExitStack() as leaving:
        with uninterrupted():
            process = leaving.enter_context(subprocess.Popen(command, start_new_session=True, **options))
            leaving.push(ask)
        yield process


def end_update(process: subprocess.Popen[Any]) -> str:
    """Let Pulumi finish what is under way, write its state and give its lock back; what is left if it does not.

    Args:
        process: In a session of its own.
    """
    with uninterrupted():
        if end(process, ENDS_S, signal.SIGINT):
            return ""
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        return f", nor {ENDS_S:.0f} s after it was asked to (where the stack is locked now: `pulumi cancel`)"


def _reason(file: Path) -> str:
    lines = [line.strip() for line in file.read_text(errors="replace").splitlines() if line.strip()]
    wrong = [line for line in lines if line.startswith("error:")]
    violated = [line for line in lines if _VIOLATION.search(line)]
    if any(line.startswith("error: policy pack") for line in lines):
        thrown = next((line for line in reversed(lines) if _THROWN.match(line)), wrong[-1].removeprefix("error: "))
        return one_line(f"the policy pack cannot run, so nothing was changed ({thrown})")
    return one_line((violated or wrong or lines[-1:] or ["no reason given"])[0].removeprefix("error:"))
