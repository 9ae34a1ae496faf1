"""What the pages of the layers' and objectives' alerts notify on-call to type can be typed: PromQL, commands, links."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from components.telemetry.catalogue import METRICS
from components.telemetry.rules import RULES
from components.telemetry.thresholds import series_in
from ops.__main__ import COMMANDS, loaded
from tests.rules.promtool import accepted

RUNBOOKS = Path(__file__).parents[2] / "docs" / "runbooks"
PAGES = {alert.name: (RUNBOOKS / f"{alert.name}.md").read_text() for group in RULES for alert in group.alerts}
CODE = re.compile(r"`([^`\n]+)`")
COMMAND = "python -m ops "
PLACEHOLDER = re.compile(r"<[a-z]+>")
SERIES = {series for metric in METRICS for series in metric.series} | {"target_info"}
OTHER_WORDS = {"max_connections"}
"""What looks like a series and is none."""
ALERT_NAMES = {path.stem for path in RUNBOOKS.glob("*.md")}


def _code(text: str) -> list[str]:
    return [PLACEHOLDER.sub("x", snippet) for snippet in CODE.findall(text)]


def _promql(text: str) -> list[str]:
    """Code that is meant for Prometheus: it names a series, or calls a function."""
    return [
        code
        for code in _code(text)
        if not code.startswith(("python ", "select "))
        and re.search(r"[({=:<>]|^[a-z]+(_[a-z]+)+$", code)
        and code not in OTHER_WORDS
    ]


@pytest.mark.parametrize("name", sorted(PAGES))
def test_the_promql_of_a_page_is_promql_of_series_that_there_are(name: str, tmp_path: Path) -> None:
    expressions = _promql(PAGES[name])
    assert expressions, f"{name}.md has no PromQL"
    rules = [{"record": f"page:x:{number}", "expr": expr} for number, expr in enumerate(expressions)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "page", "rules": rules}]}))
    accepted("check", "rules", "--lint=none", str(tmp_path / "rules.yml"))
    for expr in expressions:
        unknown = series_in(re.sub(r"\b(slo|obs):\w+(:\w+)?", " ", expr)) - SERIES
        assert not unknown, f"{name}.md: {expr} reads {unknown}, which no metric of the catalogue has"


@pytest.mark.parametrize("name", sorted(PAGES))
def test_the_commands_of_a_page_can_be_run(name: str) -> None:
    for code in _code(PAGES[name]):
        if code.startswith(COMMAND):
            words = shlex.split(code.removeprefix(COMMAND))
            assert words[0] in COMMANDS, f"{name}.md: {code}: there is no command {words[0]}"
            command = loaded(words.pop(0))
            while hasattr(command, "commands"):
                assert words[0] in command.commands, f"{name}.md: {code}: there is no command {words[0]}"
                command = command.commands[words.pop(0)]
            command.make_context("ops", words, resilient_parsing=False)


@pytest.mark.parametrize("name", sorted(PAGES))
def test_the_pages_and_alerts_that_a_page_names_exist(name: str) -> None:
    text = PAGES[name]
    for target in re.findall(r"\]\(([^)#]+)", text):
        assert (RUNBOOKS / target).is_file(), f"{name}.md links to {target}"
    for word in re.findall(r"\b(?:[A-Z][a-z]+){2,}\b", CODE.sub(lambda code: code[1], text)):
        assert word in ALERT_NAMES or word in {"PromQL", "PostgreSQL"}, f"{name}.md names {word}, which has no page"
