"""What the platform tells about itself: the outputs of its Pulumi stack, and which secret ones each command reads.

A command cannot use a secret output that is not named for it here. The key of hashed ids is an output for the other
region's stack and no command's: ``ops privacy`` reads the gateways' Secret, which Kubernetes lets only some people do.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from components.cluster import UnreachableError, cluster_uid
from components.shards import server_names
from ops.core import command_record
from ops.core.access import BackupAccess, RegionsAccess, ReportAccess
from ops.core.errors import OpsError, one_line

SECRETS: Final = frozenset(
    {
        "alertmanager_operator",
        "audit_reader",
        "backups",
        "grafana_admin",
        "kafka_admin",
        "kafka_users",
        "log_reader",
        "notify_channels",
        "otlp_credentials",
        "otlp_former_credentials",
        "prometheus_credentials",
        "query_reader",
        "regions",
        "reports",
        "scrape_credentials",
        "trace_login",
    }
)
"""Outputs with a password or a key."""

_CONTEXT: Final = frozenset(
    {
        "alertmanager_operator",
        "kafka_admin",
        "otlp_credentials",
        "prometheus_credentials",
        "query_reader",
        "trace_login",
    }
)
"""What `ops.core.context.Context` makes its clients with."""
_ALERTS: Final = frozenset({"alertmanager_operator"})
_BOTH_REGIONS: Final = _CONTEXT - {"prometheus_credentials", "trace_login"} | {"regions"}

READS: Final[Mapping[str, frozenset[str]]] = {
    "verify": SECRETS - {"otlp_former_credentials", "regions"},
    "health": _CONTEXT,
    "rights": frozenset(),
    "up": _CONTEXT,
    "open": frozenset({"alertmanager_operator", "grafana_admin", "query_reader"}),
    "connect": frozenset({"otlp_credentials"}),
    "review": frozenset(),
    "trace": frozenset({"trace_login"}),
    "logs": _CONTEXT | {"log_reader"},
    "alerts": _ALERTS,
    "ack": _ALERTS,
    "silence": _ALERTS,
    "incident": _CONTEXT | {"log_reader"},
    "notify": _ALERTS | {"notify_channels"},
    "alert-events": frozenset({"kafka_admin"}),
    "certificates": frozenset(),
    "dashboard": _CONTEXT | {"grafana_admin"},
    "loadtest": _CONTEXT | {"grafana_admin"},
    "bench": _CONTEXT | {"log_reader"},
    "scale": frozenset(),
    "storage": frozenset(),
    "kafka": frozenset({"kafka_admin", "kafka_users"}),
    "gateway": frozenset({"otlp_credentials", "otlp_former_credentials", "query_reader"}),
    "report": _CONTEXT | {"backups", "kafka_users", "reports"},
    "backup": _CONTEXT | {"backups", "grafana_admin"},
    "maintain": _CONTEXT | {"audit_reader", "backups", "grafana_admin", "log_reader"},
    "regions": _BOTH_REGIONS,
    "failover": _BOTH_REGIONS,
    "failback": _BOTH_REGIONS,
    "drill": _CONTEXT
    | {
        "audit_reader",
        "backups",
        "grafana_admin",
        "kafka_users",
        "log_reader",
        "otlp_former_credentials",
        "regions",
        "scrape_credentials",
    },
    "privacy": _CONTEXT | {"backups", "log_reader"},
    "audit": frozenset({"audit_reader"}),
    "docs": _CONTEXT | {"grafana_admin"},
    "config": frozenset(),
    "preflight": frozenset({"kafka_admin"}),
    "images": frozenset(),
}
"""Command -> secret outputs that the code behind it uses; a test compares both."""

_limits: list[frozenset[str]] = []
"""Of the process, whichever of its threads reads; the last one holds."""


@contextmanager
def limited(names: Set[str]) -> Iterator[None]:
    """Inside the block no secret output is read but these."""
    _limits.append(SECRETS - names)
    try:
        yield
    finally:
        _limits.pop()


def withheld() -> frozenset[str]:
    """Secret outputs that are not read at present; empty outside of `limited`."""
    return _limits[-1] if _limits else frozenset()


_SETTINGS: Final = "observability:settings"
_FOLDER: Final = "PULUMI_OPTION_CWD"
"""Variable of Pulumi with the folder in which it looks for the project and its stack files."""
_ANSWER_S: Final = 5.0


def refuse_another(cwd: Path, stack: str, selected: Callable[[], str]) -> None:
    """Refuse another cluster than the one that the stack file names.

    A cluster that gives no answer is let pass: commands that reach servers alone need no kubeconfig, and those that use
    Kubernetes tell themselves that there is no answer, and ask again (`ops.core.kube.Kube.of`). So is a folder without
    the stack's file, and a stack of an embedded cluster whose file names its context alone.

    Args:
        cwd: Folder of the project, unless Pulumi is told another one.
        stack: The stack; empty: that of ``PULUMI_STACK``, else the selected one.
        selected: Its name, asked of Pulumi where nothing else names it.

    Raises:
        OpsError: The context leads to another cluster.
    """
    folder = Path(os.environ.get(_FOLDER) or cwd)
    if not any(folder.glob("Pulumi.*.yaml")):
        return
    name = (stack or os.environ.get("PULUMI_STACK") or selected()).rpartition("/")[2]
    cluster = _named(folder / f"Pulumi.{name}.yaml")
    context, uid = cluster.get("context"), cluster.get("uid")
    if not (context and uid):
        return
    try:
        there = cluster_uid(str(context), request_s=_ANSWER_S, limit_s=2 * _ANSWER_S)
    except UnreachableError:
        return
    if there != uid:
        raise OpsError(
            f"the context {context} leads to the cluster {there}, but Pulumi.{name}.yaml names {uid}: nothing was "
            "done; select the other stack, or set KUBECONFIG"
        )


def _named(file: Path) -> Mapping[str, Any]:
    """``cluster`` of a stack file, whatever else is wrong with it."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        cluster = content["config"][_SETTINGS]["cluster"]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError, KeyError):
        return {}
    return cluster if isinstance(cluster, Mapping) else {}


def project_folder(package: Path, cwd: Path) -> Path:
    """Folder of ``Pulumi.yaml``: the checkout that holds this package, else the nearest at or above ``cwd``.

    Where there is none, ``cwd``: Pulumi then says so.
    """
    return next((folder for folder in (package.parent, cwd, *cwd.parents) if (folder / "Pulumi.yaml").exists()), cwd)


PROJECT = project_folder(Path(__file__).resolve().parents[1], Path.cwd())
"""Folder of ``Pulumi.yaml``."""

_TIMEOUT_SECONDS = 60


class Login(BaseModel):
    """A user name with its password; the password never shows in a representation."""

    model_config = ConfigDict(frozen=True)

    username: str
    password: SecretStr

    @property
    def pair(self) -> tuple[str, str]:
        """Name and password in the clear, for a client's ``auth`` argument."""
        return self.username, self.password.get_secret_value()


class ClusterIdentity(BaseModel):
    """The cluster that the stack was brought up in.

    Attributes:
        context: Context of the kubeconfig; None: the current one.
        uid: UID of its namespace kube-system.
    """

    model_config = ConfigDict(frozen=True)

    context: str | None
    uid: str


class TraceLogin(BaseModel):
    """How a tool signs in to read traces: a client of the OpenID Connect provider.

    Attributes:
        issuer: Issuer URL.
        client_id, client_secret: The tool's client.
        authority: PEM of who signs the provider's certificate; empty for a public authority.
    """

    model_config = ConfigDict(frozen=True)

    issuer: str
    client_id: str
    client_secret: SecretStr
    authority: str = ""


class ChannelSecrets(BaseModel):
    """Secrets of the channels, as in ``alertingSecrets``.

    Attributes:
        mail_password: None where nobody gets mail.
        sms_access_key_id, sms_secret_access_key: None where nobody is told by SMS.
        authority: None: that of the receivers is a public one.
    """

    model_config = ConfigDict(frozen=True)

    phone_keys: Mapping[str, SecretStr]
    slack_urls: Mapping[str, SecretStr]
    mail_password: SecretStr | None = None
    sms_access_key_id: SecretStr | None = None
    sms_secret_access_key: SecretStr | None = None
    authority: SecretStr | None = None


class NotifyChannels(BaseModel):
    """Who can be notified and how: ``alerting`` of the stack file, and secrets."""

    model_config = ConfigDict(frozen=True)

    channels: Mapping[str, Mapping[str, str | None] | None]
    contacts: Mapping[str, Mapping[str, str | bool | None]]
    secrets: ChannelSecrets


class Platform(BaseModel):
    """Typed outputs of the stack; names as in ``stacks/outputs.py``."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    namespace: str
    platform: str
    region: str
    ca_certificate: str
    otlp_grpc: str
    otlp_http: str
    otlp_credentials: Mapping[str, Login]
    otlp_former_credentials: Mapping[str, Login] = {}
    otlp_password_generations: tuple[int, ...] = (1,)
    kafka_bootstrap: str
    kafka_admin: Login
    kafka_users: Mapping[str, Login]
    audit_reader: Login | None = None
    kafka_login_generations: tuple[int, ...] = (1,)
    kafka_former_logins: tuple[str, ...] = ()
    query_url: str
    query_reader: Login
    prometheus_replicas: tuple[str, ...] = Field(min_length=1)
    prometheus_shards: int = Field(default=1, ge=1)
    prometheus_credentials: Mapping[str, Login]
    scrape_credentials: Mapping[str, Login]
    consumer_groups: tuple[str, ...]
    topics: tuple[str, ...] | Mapping[str, Any]
    trace_query_urls: Mapping[str, str] = {}
    trace_login: TraceLogin | None = None
    log_reader: Login | None = None
    alertmanager_url: str = ""
    alertmanager_operator: Login | None = None
    alert_escalation: Mapping[str, str | None] = {}
    notify_channels: NotifyChannels | None = None
    sign_in_urls: Mapping[str, str] = {}
    grafana_url: str = ""
    grafana_admin: Login | None = None
    reports: ReportAccess | None = None
    backups: BackupAccess | None = None
    regions: RegionsAccess | None = None
    cluster: ClusterIdentity | None = None
    not_promised: tuple[str, ...] = ()
    image_digests: Mapping[str, str] = {}

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """An output that was withheld.

            Raises:
                OpsError: It is one.
            """
            if name in Platform.model_fields:
                raise OpsError(f"this command does not read the output `{name}`: READS in ops/core/platform.py says so")
            return super().__getattr__(name)

    @property
    def prometheus_servers(self) -> tuple[str, ...]:
        """Names of all Prometheus servers, those of a shard together."""
        return server_names(self.prometheus_replicas, self.prometheus_shards)

    def left_out(self, key: str) -> tuple[str, ...]:
        """What is not promised since a key of the stack file leaves it out, one line each."""
        return tuple(line for line in self.not_promised if line.startswith(f"settings.{key}:"))


_NOBODY: Final = {"username": "", "password": ""}
_STAND_INS: Final[Mapping[str, Any]] = {
    "kafka_admin": _NOBODY,
    "query_reader": _NOBODY,
    **{name: {} for name in ("kafka_users", "otlp_credentials", "prometheus_credentials", "scrape_credentials")},
}
"""What the model is checked with in place of a withheld output; none of it stays."""


def parse(outputs: Mapping[str, Any], without: Set[str] = frozenset()) -> Platform:
    """Check the outputs of a stack.

    Args:
        outputs: Name -> value.
        without: Outputs that are withheld: they are not looked at, and using one is an error.

    Raises:
        OpsError: An output is missing or has another shape; the message names it.
    """
    if not outputs:
        raise OpsError("the stack has no outputs: run `pulumi up --policy-pack policy` first")
    given = {name: value for name, value in outputs.items() if name not in without}
    stand_ins = {name: value for name, value in _STAND_INS.items() if name in without}
    try:
        platform = Platform.model_validate({**given, **stand_ins})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise OpsError(
            f"stack output `{where}`: {one_line(first['msg'])}: run `pulumi up --policy-pack policy` with this "
            "version of the program"
        ) from None
    for name in without:
        vars(platform).pop(name)
    return platform


def load(cwd: Path = PROJECT, stack: str = "") -> Platform:
    """Read the outputs of a stack, of the selected one if none is named, with the ``pulumi`` command.

    Inside of `ops.core.platform.limited` the secrets that are not named there are dropped unread, and where none is
    named Pulumi is not asked to open any. Another cluster than the stack's is refused before.

    Raises:
        OpsError: No ``pulumi``, no stack, no answer in time, an output is missing, or the kubeconfig leads to another
            cluster.
    """
    platform = _loaded(cwd, stack)
    if platform.cluster is not None:
        command_record.opened(platform.namespace, platform.cluster.context)
    return platform


def _loaded(cwd: Path, stack: str) -> Platform:
    without = withheld()
    refuse_another(cwd, stack, lambda: selected_stack(cwd))
    if SECRETS - without:
        return parse(_read(cwd, stack, "--show-secrets"), without)
    outputs = dict(_read(cwd, stack))
    if "ca_certificate" in outputs:  # no secret, but it comes from one
        outputs["ca_certificate"] = _output(cwd, stack, "ca_certificate", "--show-secrets")
    return parse(outputs, without)


def selected_stack(cwd: Path = PROJECT) -> str:
    """Name of the selected stack.

    Raises:
        OpsError: No ``pulumi``, or no stack is selected.
    """
    done = run_pulumi(cwd, "stack", "--show-name", "--non-interactive", limit_s=_TIMEOUT_SECONDS)
    if done.returncode != 0:
        raise OpsError(f"no stack: {_reason(done.stderr.decode(errors='replace'))}: select one")
    return done.stdout.decode().strip()


def run_pulumi(cwd: Path, *arguments: str, limit_s: float) -> subprocess.CompletedProcess[bytes]:
    """Run the ``pulumi`` command in a folder, whatever its exit code, for ``limit_s`` seconds at most.

    Raises:
        OpsError: There is no ``pulumi``, or no answer in time.
    """
    program = shutil.which("pulumi")
    if program is None:
        raise OpsError("`pulumi` is not on PATH: install it, or run through `python -m lab exec --`")
    try:
        return subprocess.run(
            [program, *arguments], cwd=cwd, capture_output=True, timeout=limit_s, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        raise OpsError(f"`pulumi {' '.join(arguments[:2])}` gave no answer in {limit_s} s") from None


def _read(cwd: Path, stack: str, *options: str) -> Mapping[str, Any]:
    outputs = _output(cwd, stack, "", *options)
    if not isinstance(outputs, dict):
        raise OpsError("`pulumi stack output --json` did not print an object")
    return outputs


def _output(cwd: Path, stack: str, name: str, *options: str) -> Any:
    """One output, or all where none is named."""
    arguments = ["stack", "output", *([name] if name else []), "--json", *options, "--non-interactive"]
    arguments += ["--stack", stack] if stack else []
    done = run_pulumi(cwd, *arguments, limit_s=_TIMEOUT_SECONDS)
    if done.returncode != 0:
        reason = _reason(done.stderr.decode(errors="replace"))
        raise OpsError(
            f"cannot read the stack's outputs: {reason}: select a stack, run `pulumi up --policy-pack policy`"
        )
    try:
        return json.loads(done.stdout)
    except ValueError:
        raise OpsError("`pulumi stack output --json` did not print JSON") from None


def _reason(stderr: str) -> str:
    """The line of Pulumi's messages that says what is wrong."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error:")]
    return one_line((errors or lines or ["no reason given"])[0].removeprefix("error:"))
