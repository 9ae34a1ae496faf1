"""``ops docs``: fills the generated blocks of README and docs: measurements from evidence, commands from the code.

A block begins with ``<!-- evidence: NAME -->`` and ends with ``<!-- /evidence -->``, each on a line of its own. NAME is
``catalog``, ``failed``, ``machine``, ``versions``, ``drills``, ``scaling``, ``peer``, ``loop``, or a table of
``evidence/pages.yaml``, whose placeholders read ``{name of evidence: figure}``; with ``, of a day`` at its end a
figure is given by its ends in the newest run and those of the 24 hours before it. The block ``<!-- code: commands -->``
lists the commands of ``ops``. The same checkout gives the same bytes: no clock is read, and uncommitted changes count
as the commit that they will become.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Final

import typer
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from ops import __main__ as cli
from ops.core.errors import OpsError, one_line
from ops.core.platform import PROJECT
from ops.drills import record
from ops.drills.watch import cell
from ops.evidence import files as evidence
from ops.evidence.files import Evidence
from ops.evidence.reading import NOT_MEASURED, filled, plain, told
from ops.scaling import BENCHES, comparison, costs

TABLES: Final = evidence.FOLDER / "pages.yaml"
PAGES: Final = ("README.md", "docs/*.md", "docs/operations/*.md")
BLOCK: Final = re.compile(
    r"^<!-- (?P<name>(?P<origin>evidence|code): [a-z][a-z0-9-]*) -->\n.*?^<!-- /(?P=origin) -->$",
    re.MULTILINE | re.DOTALL,
)
_BEGIN = re.compile(r"^<!-- (?:evidence|code): ", re.MULTILINE)
_END = re.compile(r"<!-- /(?:evidence|code) -->")
_PLACEHOLDER = re.compile(r"\{([a-z0-9-]+): ([^{}]+)\}")
OF_A_DAY: Final = ", of a day"
"""Behind a figure: its least and greatest in the newest run and those of the 24 hours before it."""
_SHORT = 7
_MOST_SCALARS = 8
_LONGEST_REASON = 300
_BETWEEN = "<br>"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Row(_Model):
    """One promise: ``shows`` maps what was done to a text with figures, ``limits`` says what these do not show."""

    promise: str
    shows: Mapping[str, str]
    limits: str = ""


class Tables(_Model):
    """Tables of promises, by the name that their blocks have."""

    tables: Mapping[str, tuple[Row, ...]]


class Source:
    """Runs of a folder, each read once, and what may be said of them.

    Args:
        folder: Where evidence is kept.
        project: The checkout whose sources decide what is stale.
    """

    def __init__(self, folder: Path = evidence.FOLDER, project: Path = PROJECT) -> None:
        self.folder, self._project = folder, project
        self._read = cache(lambda name: evidence.read(name, folder))
        self._stale: dict[tuple[str, datetime], str | None] = {}

    @property
    def ignored(self) -> list[str]:
        """Files of the catalog's names that are no evidence, and folders of other names."""
        names = evidence.catalog().evidence
        known = {*names, record.FOLDER.name}
        others = sorted(path.name for path in self.folder.iterdir() if path.is_dir() and path.name not in known)
        return [
            *(file for name in names for file in self._read(name).ignored),
            *(f"{other}/ is of a name that {evidence.CATALOG.name} does not have" for other in others),
        ]

    def runs(self, name: str) -> tuple[Evidence, ...]:
        """Runs of a name, newest first."""
        return self._read(name).runs

    def newest(self, name: str) -> Evidence | None:
        """The newest run of a name, or None."""
        return self._read(name).newest

    def of_a_day(self, name: str) -> tuple[Evidence, ...]:
        """The newest run of a name and those of the 24 hours before it."""
        return self._read(name).of_a_day

    def stale(self, run: Evidence) -> str | None:
        """What makes a run stale, or None."""
        key = run.name, run.time
        if key not in self._stale:
            self._stale[key] = evidence.staleness(run, self._project)
        return self._stale[key]

    def run_line(self, name: str, page: Path) -> str:
        """Name with its link, date, commit, and what restricts its newest run."""
        runs = self.runs(name)
        if not runs:
            return f"`{name}`: {NOT_MEASURED} on this version (`{evidence.catalog().entry(name).run}`)"
        newest, failed = runs[0], sum(bool(evidence.problems(run)) for run in runs)
        link = os.path.relpath(self.folder / name, page.parent)
        commit = f"{newest.commit[:_SHORT]}{'+' if newest.dirty else ''}"
        parts = [f"[`{name}`]({link}/) {newest.time:%Y-%m-%d}, {commit}"]
        if evidence.problems(newest):
            parts.append("**failed**")
        if stale := self.stale(newest):
            parts.append(f"**{stale}**")
        if failed:
            parts.append(f"{failed} of {len(runs)} runs failed")
        return ", ".join(parts)


def read_tables(file: Path = TABLES) -> Tables:
    """Read the tables of promises.

    Raises:
        OpsError: The file is missing, has another shape, or names evidence that the catalog does not have.
    """
    try:
        tables = Tables.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise OpsError(
            f"{file.parent.parent} is no checkout of the project: {file} is missing; run it in one"
        ) from None
    except (OSError, yaml.YAMLError) as error:
        raise OpsError(f"{file}: {one_line(error)}") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise OpsError(f"{file}: {'.'.join(map(str, first['loc']))}: {one_line(first['msg'])}") from None
    for rows in tables.tables.values():
        for text in (text for row in rows for text in row.shows.values()):
            for name in names(text):
                evidence.catalog().entry(name)
    return tables


def names(text: str) -> list[str]:
    """Names of evidence in a text, each once, in their order."""
    return list(dict.fromkeys(name for name, _ in _PLACEHOLDER.findall(text)))


def promises(rows: Iterable[Row], source: Source, page: Path) -> str:
    """A table with a row for each thing that was done to show a promise: its figures, and the runs they are from."""
    lines = ["| promise | what was done | what was measured | newest run |", "|---|---|---|---|"]
    for row in rows:
        first = f"{row.promise}{_BETWEEN}*{row.limits}*" if row.limits else row.promise
        for what, text in row.shows.items():
            runs = [source.run_line(name, page) for name in names(text)]
            lines.append(f"| {first} | {what} | {_shown(text, source)} | {_BETWEEN.join(runs)} |")
            first = ""
    return "\n".join(lines)


def _shown(text: str, source: Source) -> str:
    failed = any(evidence.problems(run) for name in names(text) if (run := source.newest(name)))
    measured = text
    for name in names(text):
        run = source.newest(name)
        for placeholder in re.findall(rf"\{{{name}: [^{{}}]+\}}", text):
            figure = placeholder.removeprefix(f"{{{name}: ")
            value = None if run is None else _value(figure.removesuffix("}"), run, source)
            if value is None:
                return NOT_MEASURED if not failed else f"**failed**, {NOT_MEASURED}"
            measured = measured.replace(placeholder, cell(value))
    return f"**failed**, {measured}" if failed else measured


def _value(figure: str, run: Evidence, source: Source) -> str | None:
    """A figure of a run, or of all of its day, as it is shown; None where it was not measured."""
    if not figure.endswith(OF_A_DAY):
        return filled("{" + figure + "}", run.told)
    name = figure.removesuffix(OF_A_DAY)
    figures = [evidence.figure(other.told, name) for other in source.of_a_day(run.name)]
    numbers = [number for number in figures if isinstance(number, int | float)]
    if not numbers:
        return None
    ends = " to ".join(map(plain, sorted({min(numbers), max(numbers)})))
    return f"{ends} in {len(numbers)} {'run' if len(numbers) == 1 else 'runs'}"


def catalog_table(source: Source, page: Path) -> str:
    """Every name of the catalog with its figures, and its newest run."""
    lines = ["| what | what was measured | newest run |", "|---|---|---|"]
    for name, entry in evidence.catalog().evidence.items():
        run = source.newest(name)
        shown = NOT_MEASURED
        if run is not None:
            parts = told(run.told, entry.text.split("; ")) if entry.text else _scalars(run)
            shown = cell("; ".join(parts)) or NOT_MEASURED
            if evidence.problems(run):
                shown = f"**failed**: {cell(_reasons(run))}; {shown}"
        lines.append(f"| {cell(entry.title)} | {shown} | {source.run_line(name, page)} |")
    return "\n".join(lines)


def failed_table(source: Source, page: Path) -> str:
    """Every failed run that is kept, newest first for each name, with its reasons."""
    lines = ["| what | run | why it failed |", "|---|---|---|"]
    for name, entry in evidence.catalog().evidence.items():
        for run in source.runs(name):
            if evidence.problems(run):
                file = os.path.relpath(source.folder / name, page.parent)
                when = f"[`{name}`]({file}/) {run.time:%Y-%m-%d %H:%M}, {run.commit[:_SHORT]}{'+' if run.dirty else ''}"
                lines.append(f"| {cell(entry.title)} | {when} | {cell(_reasons(run))} |")
    return "\n".join(lines) if len(lines) > 2 else "No run that is kept failed."


def machines(source: Source) -> str:
    """On which machines the newest runs were made."""
    newest = _newest(source)
    if not newest:
        return f"{NOT_MEASURED[0].upper()}{NOT_MEASURED[1:]} on any machine."
    sizes = Counter(f"{run.cores} cores, {run.machine.get('memory_gib', '?')} GiB" for run in newest)
    processors = Counter(str(run.machine.get("processor", "not recorded")) for run in newest)
    machines = f"{_counted(sizes)}. Processor: {_counted(processors)}"
    return f"Machine of the newest run of each of {len(newest)} names: {machines}."


def versions(source: Source) -> str:
    """Which images the newest run that recorded them used."""
    latest = max((run for run in _newest(source) if run.versions), key=lambda run: (run.time, run.name), default=None)
    if latest is None:
        return "No run recorded its images."
    images = sorted(image.rpartition("/")[2].partition("@")[0] for image in latest.versions)
    return f"Images of the newest run, {latest.name} (its file has the digests): {', '.join(images)}."


def _newest(source: Source) -> list[Evidence]:
    return [run for name in evidence.catalog().evidence if (run := source.newest(name))]


def _counted(kinds: Counter[str]) -> str:
    """Each kind with how many there are, the most common first; the kind alone where there is one only."""
    if len(kinds) == 1:
        return next(iter(kinds))
    return ", ".join(f"{kind} ({count})" for kind, count in sorted(kinds.items(), key=lambda item: (-item[1], item[0])))


def scaling_table(source: Source, page: Path) -> str:
    """What multiples of the promised load need, and the runs that measured its cost."""
    try:
        measured = costs({signal: source.newest(name) for signal, (name, _) in BENCHES.items()})
    except OpsError as error:
        return f"{NOT_MEASURED[0].upper()}{NOT_MEASURED[1:]}: {error}."
    runs = ", ".join(source.run_line(run.name, page) for run in measured.runs.values())
    return f"{comparison(measured)}\n\nCosts: {runs}."


def loop_table(source: Source) -> str:
    """Every kept run of the whole loop, the newest first, with the seconds of its steps."""
    runs = source.runs("ci-run")
    if not runs:
        return f"{NOT_MEASURED[0].upper()}{NOT_MEASURED[1:]} (`{evidence.catalog().entry('ci-run').run}`)."
    steps = list(dict.fromkeys(name for run in runs for name in run.figures.get("steps s", {})))
    lines = ["| run | result | all | " + " | ".join(steps) + " |", "|" + "---|" * (len(steps) + 3)]
    for run in runs:
        when = f"{run.time:%Y-%m-%d %H:%M}, {run.commit[:_SHORT]}{'+' if run.dirty else ''}"
        taken = [evidence.figure(run.figures, name) for name in ("total s", *(f"steps s/{step}" for step in steps))]
        cells = [when, f"**failed**: {_reasons(run)}" if evidence.problems(run) else "passed"]
        cells += [NOT_MEASURED if value is None else plain(value) for value in taken]
        lines.append("| " + " | ".join(map(cell, cells)) + " |")
    return "\n".join(lines)


def peer_table(source: Source) -> str:
    """What holds with our settings and with stock settings, as the newest comparison of their costs says."""
    run = source.newest("bench-peer")
    rows = {} if run is None else run.figures.get("guarantees", {})
    if not rows:
        return f"{NOT_MEASURED[0].upper()}{NOT_MEASURED[1:]} (`{evidence.catalog().entry('bench-peer').run}`)."
    lines = ["| | here | with stock settings |", "|---|---|---|"]
    lines += [f"| {cell(what)} | {cell(held['ours'])} | {cell(held['peer'])} |" for what, held in rows.items()]
    return "\n".join(lines)


def commands_table() -> str:
    """Every command of ``ops``: its subcommands and the first paragraph of its help."""
    lines = ["| `ops` | subcommands | what it does |", "|---|---|---|"]
    for name in cli.COMMANDS:
        command = cli.loaded(name)
        subcommands = ", ".join(f"`{subcommand}`" for subcommand in sorted(getattr(command, "commands", ())))
        purpose = " ".join((command.help or "").strip().partition("\n\n")[0].split())
        lines.append(f"| `{name}` | {subcommands} | {cell(purpose)} |")
    return "\n".join(lines)


def _scalars(run: Evidence) -> list[str]:
    """Some figures of a run about which the catalog has no text."""
    single = {name: value for name, value in run.figures.items() if isinstance(value, str | int | float)}
    return [f"{name} {plain(value)}" for name, value in list(single.items())[:_MOST_SCALARS]]


def _reasons(run: Evidence) -> str:
    return one_line("; ".join(evidence.problems(run)), _LONGEST_REASON)


def refreshed_page(text: str, page: Path, source: Source, tables: Tables) -> str:
    """The text of a page with each of its blocks filled anew.

    Raises:
        OpsError: A block has an unknown name or no end.
    """
    blocks: dict[str, Callable[[], str]] = {
        "code: commands": commands_table,
        "evidence: catalog": lambda: catalog_table(source, page),
        "evidence: drills": lambda: record.measured(source.folder, source.stale),
        "evidence: failed": lambda: failed_table(source, page),
        "evidence: loop": lambda: loop_table(source),
        "evidence: machine": lambda: machines(source),
        "evidence: peer": lambda: peer_table(source),
        "evidence: scaling": lambda: scaling_table(source, page),
        "evidence: versions": lambda: versions(source),
    }
    for name, rows in tables.tables.items():
        blocks[f"evidence: {name}"] = partial(promises, rows, source, page)

    def filled_block(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in blocks:
            raise OpsError(f"{page}: no block '{name}': use one of {', '.join(sorted(blocks))}")
        return f"<!-- {name} -->\n\n{blocks[name]()}\n\n<!-- /{match['origin']} -->"

    if not len(_BEGIN.findall(text)) == len(_END.findall(text)) == len(BLOCK.findall(text)):
        lines = "'<!-- evidence: NAME -->' and '<!-- /evidence -->'"
        raise OpsError(f"{page}: each block needs the lines {lines} (or 'code'), once each, in order")
    return BLOCK.sub(filled_block, text)


def pages(project: Path = PROJECT) -> list[Path]:
    """Pages that may have blocks."""
    return sorted(path for pattern in PAGES for path in project.glob(pattern))


def changed(project: Path = PROJECT, source: Source | None = None, tables: Tables | None = None) -> dict[Path, str]:
    """Pages whose text differs from what the evidence gives, with the text that they should have.

    Raises:
        OpsError: A page cannot be read or has a wrong block; ``evidence/pages.yaml`` or the catalog is damaged.
    """
    source, tables = source or Source(), tables or read_tables()
    result: dict[Path, str] = {}
    for page in pages(project):
        try:
            before = page.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise OpsError(f"{page}: {one_line(error)}") from None
        if _BEGIN.search(before) or _END.search(before):
            after = refreshed_page(before, page, source, tables)
            if after != before:
                result[page] = after
    return result


def docs(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit code 1 when one is out of date.")] = False,
) -> None:
    """Fill the generated tables of README and docs: measurements from evidence/, commands from the code."""
    source = Source()
    different = changed(source=source)
    for file in source.ignored:
        typer.echo(f"ignored: {file}", err=True)
    for page, text in different.items():
        typer.echo(f"{page.relative_to(PROJECT)}: {'out of date' if check else 'changed'}")
        if not check:
            draft = page.with_name(f".{page.name}.new")
            try:
                draft.write_text(text, encoding="utf-8")
                draft.replace(page)
            except OSError as error:
                raise OpsError(f"{page}: {error.strerror or error}") from None
    raise typer.Exit(1 if check and different else 0)
