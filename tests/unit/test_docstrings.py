"""Names that docstrings explain, below ``Args`` and ``Attributes``, are those of the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("components", "services", "ops", "lab", "stacks", "policy")
_SECTION = re.compile(r"^( *)(Args|Attributes):\n((?:\1 +\S.*\n|\n)+)", re.M)

Function = ast.FunctionDef | ast.AsyncFunctionDef


def explained(docstring: str, section: str) -> set[str]:
    """Names that a section of a docstring explains."""
    names: set[str] = set()
    for match in _SECTION.finditer(f"{docstring}\n"):
        lines = [line for line in match[3].splitlines() if line]
        depth = min(len(line) - len(line.lstrip()) for line in lines)
        entries = [line.partition(":")[0] for line in lines if not line[depth].isspace()]
        if match[2] == section:
            names |= {name.strip().lstrip("*") for entry in entries for name in entry.split(",")}
    return names


def parameters(function: Function) -> set[str]:
    arguments = function.args
    several = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    return {argument.arg for argument in several if argument is not None}


def attributes(definition: ast.ClassDef) -> set[str]:
    """Fields and properties of a class, and what its methods set."""
    names: set[str] = set()
    for node in definition.body:
        stored = [part for part in ast.walk(node) if isinstance(getattr(part, "ctx", None), ast.Store)]
        if isinstance(node, Function):
            names |= {node.name, *(ast.unparse(part).removeprefix("self.") for part in stored if of_self(part))}
        else:
            names |= {part.id for part in stored if isinstance(part, ast.Name)}
    return names


def of_self(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"


def arguments_of(definition: ast.ClassDef) -> set[str]:
    """What a class is called with: its fields where it has no ``__init__``."""
    for node in definition.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            return parameters(node)
    return {
        node.target.id
        for node in definition.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }


def unknown(text: str) -> Iterator[str]:
    """Names that a module's docstrings explain and that are not there, with their lines."""
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, Function | ast.ClassDef) or not (docstring := ast.get_docstring(node)):
            continue
        missing = explained(docstring, "Args") - (
            arguments_of(node) if isinstance(node, ast.ClassDef) else parameters(node)
        )
        if isinstance(node, ast.ClassDef) and (names := explained(docstring, "Attributes")):
            missing |= names - attributes(node)
        yield from (f"{node.lineno}: {name}" for name in sorted(missing))


def test_every_name_that_a_docstring_explains_is_there() -> None:
    texts = {file: file.read_text() for folder in FOLDERS for file in (ROOT / folder).rglob("*.py")}
    wrong = [
        f"{file.relative_to(ROOT)}:{place}"
        for file, text in texts.items()
        if "Args:" in text or "Attributes:" in text
        for place in unknown(text)
    ]
    assert len(texts) > 100
    assert wrong == []


def test_a_name_that_is_not_there_is_told_with_its_line() -> None:
    text = '''
class Point:
    """A point.

    Args:
        left: Where it is,
            seen: from the left.
        top: The same from above.

    Attributes:
        x, y: Where.
        z: Nowhere.
    """

    y: int

    def __init__(self, left: int) -> None:
        self.x = z = left
        print(z)


async def move(point: Point, *steps: int, **options: int) -> None:
    """Move it.

    Args:
        point: What.

        *steps: How far.
        **options: How.
        speed: How fast.

    Raises:
        ValueError: Not so.
    """
'''
    assert list(unknown(text)) == ["2: top", "2: z", "22: speed"]
