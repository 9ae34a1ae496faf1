"""No measured number is typed by hand: what stands in a page with a unit is a setting, a limit, or comes from evidence.

A number with a unit outside of generated blocks and code must be one that the sources, stack files or targets have too,
on every page: decisions and the changelog as well. ``evidence/typed.yaml`` lists the few that are neither, each with
its reason. Docstrings and comments set nothing: what they say excuses no page, and must itself be a setting.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml

from ops import pages
from ops.core.platform import PROJECT
from ops.evidence import files as evidence

EXCEPTIONS = evidence.FOLDER / "typed.yaml"
MOST_EXCEPTIONS = 12
GENERATED = frozenset({"telemetry.md", "thresholds.md", "policies.md", "access.md", "dashboards.md", "masking.md"})
"""Written whole from the sources, each compared by a test of its own."""
SOURCES = ("Pulumi*.yaml", "components/**/*", "stacks/**/*", "services/**/*.py", "ops/**/*.py", "lab/**/*.py")
ALSO = ("tests/e2e/durations.py", "evidence/catalog.yaml")
REMARKS = ("components", "services", "ops", "lab", "stacks", "policy")
"""Folders whose docstrings and comments are looked at."""

_SECONDS = {"ms": 0.001, "s": 1, "second": 1, "min": 60, "m": 60, "minute": 60, "h": 3600, "hour": 3600, "d": 86400}
_SECONDS |= {"day": 86400, "w": 604800, "week": 604800}
_BYTES = {"B": 1, "byte": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
_BYTES |= {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_PLAIN = {"%": 0.01, "core": 1}
BASE = {**_SECONDS, **_BYTES, **_PLAIN}
_UNIT = "|".join(sorted(map(re.escape, BASE), key=len, reverse=True))
TYPED = re.compile(rf"(?<![\w.,/:#-])(\d[\d,]*(?:\.\d+)?) ?((?:{_UNIT})s?|[kM]?[a-zB]+/s)(?![\w/])")
LARGE = re.compile(r"(?<![\w.,/:#-])\d{1,3}(?:,\d{3})+(?![\w])")
WRITTEN = re.compile(rf"(?<![\w.])(\d[\d_]*(?:\.\d+)?)({_UNIT}|k|M)?(?![\w.])")
MEASURED = re.compile(
    rf"\b(?:back|caught up|in sync|ready again|whole again|took|measured|median|mean|average|[Pp]95)\b[^.;|0-9]{{0,30}}"
    rf"{TYPED.pattern}"
)
"""What only a measurement says, whatever the number."""
_LINK = re.compile(r"\]\([^)]*\)")
_CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"(`+)[^`\n]*\1")
_COMMENT = re.compile(r"(?:^|\s)#.*$", re.MULTILINE)


def written(file: Path) -> Iterator[str]:
    """What of a file may set a number: constants of Python without docstrings, of anything else all but comments."""
    text = file.read_text(encoding="utf-8")
    if file.suffix != ".py":
        yield _COMMENT.sub("", text)
        return
    nodes = list(ast.walk(ast.parse(text)))
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    yield from (str(node.value) for node in nodes if isinstance(node, ast.Constant) and id(node) not in docstrings)


def remarks(file: Path) -> Iterator[tuple[int, str]]:
    """Docstrings and comments of a Python file, with the lines where they begin."""
    text = file.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.lineno, str(node.value.value)
    if re.search(r"#.*\d", text):
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        yield from ((token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT)


@cache
def settings() -> frozenset[float]:
    """Every number of the sources, as written and in base units (seconds, bytes, parts of one)."""
    numbers: set[float] = set()
    for pattern in (*SOURCES, *ALSO):
        for file in PROJECT.glob(pattern):
            if file.suffix not in {".py", ".yaml", ".yml", ".json", ".toml"}:
                continue
            for number, unit in (pair for text in written(file) for pair in WRITTEN.findall(text)):
                value = float(number.replace("_", ""))
                numbers |= {value, round(value * {"k": 1e3, "M": 1e6, "": 1.0, **BASE}[unit], 6)}
    return frozenset(numbers)


def is_setting(number: str, unit: str) -> bool:
    """Whether the sources have the number: with another unit of the same kind, or as written.

    Who writes ``6.0 s`` has measured: nobody sets that.
    """
    if re.fullmatch(r".*\.0+", number):
        return False
    value = float(number.replace(",", ""))
    factor = BASE.get(unit) or BASE.get(unit.removesuffix("s")) or 1.0
    return value in settings() or round(value * factor, 6) in settings()


def prose(text: str) -> str:
    """A page without generated blocks, code and addresses of links; lines stay where they are."""
    for expression in (pages.BLOCK, _CODE, _INLINE, _LINK):
        text = expression.sub(lambda match: "\n" * match[0].count("\n"), text)
    return text


def typed(text: str) -> Iterator[tuple[int, str]]:
    """Numbers of a page that no source has, with their lines."""
    for line, content in enumerate(prose(text).splitlines(), 1):
        seen = {match.span(1)[0]: (match[1], match[2], match[0]) for match in TYPED.finditer(content)}
        for match in LARGE.finditer(content):
            seen.setdefault(match.start(), (match[0], "", match[0]))
        for number, unit, shown in seen.values():
            if not is_setting(number, unit):
                yield line, shown
        yield from ((line, match[0]) for match in MEASURED.finditer(content))


def checked() -> list[Path]:
    paths = [*PROJECT.glob("*.md"), *(PROJECT / "collector").rglob("*.md"), *(PROJECT / "docs").rglob("*.md")]
    return sorted(page for page in paths if page.name not in GENERATED)


def exceptions() -> list[dict[str, str]]:
    loaded: list[dict[str, str]] = yaml.safe_load(EXCEPTIONS.read_text())
    return loaded


@pytest.mark.parametrize("page", checked(), ids=lambda page: str(page.relative_to(PROJECT)))
def test_a_page_has_no_measured_number_that_was_typed(page: Path) -> None:
    name = str(page.relative_to(PROJECT))
    excused = {exception["text"] for exception in exceptions() if exception["page"] == name}
    typed_numbers = [f"{name}:{line}: {shown}" for line, shown in typed(page.read_text()) if shown not in excused]
    assert typed_numbers == [], "take it from evidence (evidence/pages.yaml, catalog.yaml) or leave it out"


@pytest.mark.parametrize("folder", REMARKS)
def test_no_docstring_and_no_comment_has_a_measured_number(folder: str) -> None:
    numbers = [
        f"{file.relative_to(PROJECT)}:{first + line - 1}: {shown}"
        for file in sorted((PROJECT / folder).rglob("*.py"))
        for first, text in remarks(file)
        for line, shown in typed(text)
    ]
    assert numbers == [], "name the evidence that has it, or leave it out"


def test_docstrings_and_comments_set_no_number_and_are_looked_at(tmp_path: Path) -> None:
    code, stack_file = tmp_path / "a.py", tmp_path / "a.yaml"
    code.write_text('"""Takes\n77.5 s."""\n\nLIMIT_S = 88  # took 99.5 s\n"""It took 66.5 s."""\nSIZE = "55Mi # 44"\n')
    assert list(written(code)) == ["88", "55Mi # 44"]
    assert {line + first - 1 for first, text in remarks(code) for line, _ in typed(text)} == {2, 4, 5}
    stack_file.write_text("# 33 s\nsize: 22Gi  # 11 s\n")
    assert "".join(written(stack_file)) == "\nsize: 22Gi \n"


def test_exceptions_are_few_have_reasons_and_are_needed() -> None:
    listed = exceptions()
    assert len(listed) <= MOST_EXCEPTIONS
    for exception in listed:
        assert set(exception) == {"page", "text", "reason"}
        assert exception["reason"]
        numbers = [shown for _, shown in typed((PROJECT / exception["page"]).read_text())]
        assert exception["text"] in numbers, f"not needed any more: {exception}"


@pytest.mark.parametrize(
    "text",
    [
        "| throughput on two cores | 25,794 points/s acknowledged |",
        "a gateway killed: back after 6.0 s",
        "the broker is back after 30 s",
        "0 of 9,150 acknowledged missing",
        "P95 of 20 notifications: 14.5 s",
        "each broker takes 416 MiB",
        "sampling keeps 9.59 %",
        "failback took five minutes, 391 s",
        "one core carries 11,400 spans/s",
    ],
)
def test_a_measured_number_is_found(text: str) -> None:
    page = (PROJECT / "README.md").read_text()
    before = list(typed(page))
    assert [shown for _, shown in typed(f"{page}\n{text}\n")] != [shown for _, shown in before]


@pytest.mark.parametrize(
    "text",
    [
        "consumers that wait for 30 s",
        "a heartbeat every 5 s",
        "100,000 points/s are asked of a real cluster",
        "it says `back after 6.0 s`",
        "```\nback after 6.0 s\n```",
        "<!-- evidence: machine -->\n\nback after 6.0 s\n\n<!-- /evidence -->",
        "Debian 12, Kafka 4.3.1, on 2026-11-26",
        "[page](docs/adr/0012-a-page-of-17.5 s.md)",
    ],
)
def test_settings_code_generated_blocks_and_versions_are_left_alone(text: str) -> None:
    assert list(typed(text)) == []


def test_lines_are_those_of_the_page() -> None:
    text = "one\n\n<!-- evidence: machine -->\n\n2\n3\n\n<!-- /evidence -->\nback after 6.0 s\n"
    assert {line for line, _ in typed(text)} == {9}
