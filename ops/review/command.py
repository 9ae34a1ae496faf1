"""``python -m ops review BASE``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ops.core.errors import OpsError
from ops.core.platform import PROJECT


def review(
    base: Annotated[str, typer.Argument(metavar="BASE", help="Revision that the change goes into.")] = "main",
    output: Annotated[Path | None, typer.Option("--output", help="Write the comment into this file.")] = None,
    config: Annotated[Path | None, typer.Option("--config", help="Configuration of the policy pack (JSON).")] = None,
) -> None:
    """Say what a change does to every stack: explanation, cost, policies, owners. Exit code 1: a policy stops it."""
    # Here, since the policies and the Pulumi SDK are slow to load and no other command needs them.
    from ops.review.comment import render
    from ops.review.review import run
    from policy.analyze import PolicyInputError, load_config

    try:
        settings = load_config(config)
    except PolicyInputError as error:
        raise OpsError(str(error)) from None
    with Console(stderr=True).status("review") as status:
        outcome = run(PROJECT, base, settings, progress=lambda text: status.update(f"review: {text}"))
    text = render(outcome)
    if output is None:
        typer.echo(text, nl=False)
    else:
        try:
            output.write_text(text)
        except OSError as error:
            raise OpsError(f"--output is {output}: it cannot be written ({error.strerror}); choose another") from None
    raise typer.Exit(1 if outcome.stopped else 0)
