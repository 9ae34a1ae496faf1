"""The command line: ``obs verify``, or ``python -m ops verify``.

Exit codes: 0 nothing fails, 1 something fails, 2 it cannot run at all. Progress and errors go to standard error,
results to standard output.
"""

from __future__ import annotations

import functools
import importlib
import sys
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

from ops.core import command_record
from ops.core.errors import OpsError, one_line

COMMANDS = {
    "verify": "ops.checks.command:verify",
    "health": "ops.core.health:health",
    "config": "ops.config:config_app",
    "preflight": "ops.preflight.command:preflight",
    "rights": "ops.rights:rights",
    "up": "ops.up:up",
    "open": "ops.connect.open:open_page",
    "connect": "ops.connect.service:connect",
    "review": "ops.review.comment:review",
    "trace": "ops.telemetry.traces:trace",
    "logs": "ops.telemetry.logs:logs",
    "alerts": "ops.alerts.command:alerts",
    "ack": "ops.alerts.silences:ack",
    "silence": "ops.alerts.silences:silence_app",
    "incident": "ops.incidents.command:incident_app",
    "notify": "ops.alerts.notify:notify",
    "alert-events": "ops.alerts.events:alert_events",
    "certificates": "ops.maintenance.certificates:certificates",
    "dashboard": "ops.dashboards.command:dashboard",
    "loadtest": "ops.loadtest.command:loadtest",
    "bench": "ops.loadtest.bench_command:bench",
    "scale": "ops.scaling:scale_app",
    "storage": "ops.storage.command:storage_app",
    "kafka": "ops.kafka.command:kafka_app",
    "gateway": "ops.connect.gateway:gateway_app",
    "report": "ops.reports:report_app",
    "backup": "ops.backups.command:backup_app",
    "maintain": "ops.maintenance.command:maintain_app",
    "regions": "ops.regions.command:regions_app",
    "failover": "ops.regions.command:failover",
    "failback": "ops.regions.command:failback",
    "drill": "ops.drills.command:drill_app",
    "images": "ops.images.command:images_app",
    "privacy": "ops.privacy.command:privacy_app",
    "audit": "ops.audit.command:audit_app",
    "docs": "ops.pages:docs",
}
"""Command -> module and name of its function, or of the group of its subcommands."""
_CANNOT_RUN = 2


class _Commands(TyperGroup):
    """Imports a command's module when the command is asked for: to import all takes over a second."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of a name; None where there is none."""
        return loaded(cmd_name) if cmd_name in COMMANDS else None


@functools.cache
def loaded(name: str) -> Any:
    """The command, or group of commands, of a name in `COMMANDS`."""
    module, _, attribute = COMMANDS[name].partition(":")
    implementation = getattr(importlib.import_module(module), attribute)
    if isinstance(implementation, typer.Typer):
        command: Any = get_group(implementation)
    else:
        alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        alone.command(name)(implementation)
        command = get_command(alone)
    command.name = name
    return command


app = typer.Typer(cls=_Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def day_2(context: typer.Context) -> None:
    """Day-2 commands of the monitoring platform."""
    # Here, since what reads the platform's outputs is slow to load, and help needs none of it.
    from ops.core.platform import READS, limited

    if (name := context.invoked_subcommand) is not None and name in READS:
        context.with_resource(limited(READS[name]))


def main() -> None:
    """Run the command line; a user's mistake is one line and exit code 2."""
    command_record.begin(sys.argv[1:])
    code: object = 1
    try:
        app()
    except SystemExit as ending:
        code = ending.code
        raise
    except OpsError as error:
        typer.echo(f"error: {one_line(error, 400)}", err=True)
        code = _CANNOT_RUN
        raise SystemExit(_CANNOT_RUN) from None
    finally:
        command_record.ended(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    main()
