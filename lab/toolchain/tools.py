"""Finds built tools: what the machine already has on PATH is not asked, since versions are part of what is tested."""

from __future__ import annotations

from pathlib import Path

from lab.errors import LabError
from lab.toolchain.build import folder
from lab.toolchain.recipes import RECIPES, GoTool, MavenLibraries, Recipe, SearchServer
from lab.toolchain.search import HOME


def path(program: str) -> Path:
    """Absolute path of a built program, for example ``promtool``.

    Raises:
        LabError: The program is unknown, or not built yet.
    """
    recipe = _recipe(program)
    program_path = folder(recipe) / program
    if not program_path.is_file():
        raise LabError(f"{program} {recipe.version} is not built: run `python -m lab tools {recipe.name}`")
    return program_path


def place(program: str) -> Path:
    """Where a program is, or will be once it is built.

    Raises:
        LabError: The program is unknown.
    """
    return folder(_recipe(program)) / program


def _recipe(program: str) -> Recipe:
    for recipe in RECIPES:
        if isinstance(recipe, MavenLibraries | SearchServer):
            continue
        programs = recipe.programs if isinstance(recipe, GoTool) else {recipe.name: ""}
        if program in programs:
            return recipe
    raise LabError(f"{program} is not a tool of this project: see lab/toolchain/recipes.py")


def libraries(name: str) -> Path:
    """Folder of a Java server's jars, for example ``kafka``.

    Raises:
        LabError: The server is unknown, or its jars are not there yet.
    """
    for recipe in RECIPES:
        if isinstance(recipe, MavenLibraries) and recipe.name == name:
            libs = folder(recipe) / "libs"
            if not libs.is_dir():
                raise LabError(f"{name} {recipe.version} is not there: run `python -m lab tools {name}`")
            return libs
    raise LabError(f"{name} is not a server of this project: see lab/toolchain/recipes.py")


def search_home() -> Path:
    """Home folder of the assembled search server.

    Raises:
        LabError: It is not there yet.
    """
    recipe = next(recipe for recipe in RECIPES if isinstance(recipe, SearchServer))
    home = folder(recipe) / HOME
    if not home.is_dir():
        raise LabError(f"{recipe.name} {recipe.version} is not there: run `python -m lab tools {recipe.name}`")
    return home
