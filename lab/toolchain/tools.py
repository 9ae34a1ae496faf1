"""Tools built from recipes into the cache: one folder per tool and recipe, complete or absent, never half.

A tool is a Go program, files from Maven with everything that they need at run time, a server that is one zip there, or
a search server assembled from them: the small distribution, the modules that it lacks, and plugins. What the machine
already has on PATH is not asked, since versions are part of what is tested.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lab import LabError
from lab.cluster.network import unmount_below
from lab.paths import CHECKOUT, cache_root
from lab.toolchain.recipes import (
    RECIPES,
    Collector,
    ExtendedServer,
    GoTool,
    MavenLibraries,
    OwnProgram,
    Recipe,
    ServerZip,
)
from ops.images import maven
from ops.images.maven import Run
from ops.images.search_home import HOME, SearchServer, assemble


def unpack(recipe: ServerZip, work: Path, run: Run) -> None:
    """Fill ``work`` with the server's home folder.

    Raises:
        LabError: The zip is another one than the recipe's, or it does not hold one folder.
    """
    downloads, unpacked, home = work / "downloads", work / "unpacked", work / HOME
    maven.maven_file(f"{recipe.artifact}:{recipe.version}:zip", downloads, run)
    [archive] = downloads.iterdir()
    with archive.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    if digest != recipe.sha256:
        raise LabError(f"{archive.name} has the SHA-256 {digest}, lab/toolchain/recipes.py expects {recipe.sha256}")
    with zipfile.ZipFile(archive) as entries:
        entries.extractall(unpacked)
    tops = list(unpacked.iterdir())
    if len(tops) != 1:
        raise LabError(f"{archive.name} holds {len(tops)} folders at its top; one was expected")
    tops[0].rename(home)
    for program in (home / "bin").iterdir():
        program.chmod(0o755)
    shutil.rmtree(downloads)
    shutil.rmtree(unpacked)
    run(list(recipe.prepare), home, {})


_JAVA = "17"
"""Oldest Java that the server runs on, which may be newer than the compiler's."""


def extended_server(recipe: ExtendedServer, sources: Path, work: Path, run: Run) -> None:
    """Fill ``work`` with the server's home folder, its plugin installed by the server's own installer.

    Args:
        recipe: The server.
        sources: Folder of the folder `ExtendedServer.source`.
        work: Empty folder.
        run: Runs a command.

    Raises:
        LabError: The Java compiler is not there.
    """
    assemble(recipe, work, run)
    archive = work / "plugin.zip"
    _pack(recipe, sources / recipe.source, work, archive, run)
    installer = work / HOME / "bin" / f"{recipe.name}-plugin"
    run([str(installer), "install", "-b", archive.as_uri()], work, {"ES_JAVA_HOME": str(_java_home())})
    archive.unlink()


def _pack(recipe: ExtendedServer, source: Path, work: Path, archive: Path, run: Run) -> None:
    """Compile the plugin and lay it into the archive that the installer takes."""
    classes, jar = work / "classes", work / "plugin.jar"
    java = sorted(str(file) for file in source.glob("*.java"))
    compiler = [str(_java_home() / "bin" / "javac"), "--release", _JAVA, "-proc:none", "-Xlint:all", "-Werror"]
    run([*compiler, "-cp", f"{work / HOME}/lib/*", "-d", str(classes), *java], work, {})
    with zipfile.ZipFile(jar, "w") as packed:
        for file in sorted(classes.rglob("*.class")):
            packed.write(file, file.relative_to(classes).as_posix())
    descriptor = {
        "name": recipe.source,
        "description": recipe.source,
        "version": recipe.version,
        "elasticsearch.version": recipe.version,
        "java.version": _JAVA,
        "classname": recipe.main_class,
    }
    with zipfile.ZipFile(archive, "w") as packed:
        packed.write(jar, f"{recipe.source}.jar")
        lines = "".join(f"{key}={value}\n" for key, value in descriptor.items())
        packed.writestr("plugin-descriptor.properties", lines)
    shutil.rmtree(classes)
    jar.unlink()


def _java_home() -> Path:
    compiler = shutil.which("javac")
    if compiler is None:
        raise LabError("javac is not there: install a JDK of Java 17 or newer, not its runtime alone")
    return Path(compiler).resolve().parents[1]


BUILD_LIMIT_S = 40 * 60
SOURCES = Path(__file__).parent / "src"
_BUILT_FROM = (".go", ".mod", ".sum", ".txt")
"""Endings of what Go compiles, resolves and embeds."""
_REPLACED = re.compile(r"^\s*(?:replace\s+)?(\S+) => ([^.\s]\S+ v\S+)", re.MULTILINE)
_STAGING = re.compile(r"^\s*(?:require\s+)?(k8s\.io/[\w-]+) v0\.0\.0(?![\w.-])", re.MULTILINE)


def run_logged(command: list[str], *, cwd: Path, log: Path, env: dict[str, str] | None = None) -> None:
    """Run one build step with its output in ``log``; a failure names the log and shows its end."""
    with log.open("a") as out:
        out.write(f"$ {' '.join(command)}\n")
        out.flush()
        try:
            done = subprocess.run(
                command,
                cwd=cwd,
                stdout=out,
                stderr=subprocess.STDOUT,
                timeout=BUILD_LIMIT_S,
                env={**os.environ, **(env or {})},
            )
        except FileNotFoundError:
            raise LabError(f"{command[0]} is not on PATH: install it, then repeat") from None
        except subprocess.TimeoutExpired:
            raise LabError(f"{' '.join(command[:3])} took over {BUILD_LIMIT_S // 60} min: see {log}") from None
    if done.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-12:])
        raise LabError(f"{' '.join(command[:3])} failed with exit code {done.returncode}, log {log}:\n{tail}")


def maven_libraries(artifacts: Iterable[str], target: Path, log: Path) -> None:
    """Put the artifacts (``group:name:version``) and their runtime dependencies into ``target``."""
    maven.maven_libraries(artifacts, target, _logged(log))


def maven_file(artifact: str, target: Path, log: Path) -> None:
    """Put one file (``group:name:version:type``) into the folder ``target``."""
    maven.maven_file(artifact, target, _logged(log))


def _logged(log: Path) -> maven.Run:
    return lambda command, cwd, env: run_logged(command, cwd=cwd, log=log, env=dict(env))


def fingerprint(recipe: Recipe) -> str:
    """Key of what a recipe builds: its data and, for our own sources, their content."""
    digest = hashlib.sha256(repr(recipe).encode())
    if isinstance(recipe, GoTool | ExtendedServer) and recipe.source:
        for file in sorted((SOURCES / recipe.source).iterdir()):
            digest.update(file.read_bytes())
    if isinstance(recipe, OwnProgram | Collector):
        module = CHECKOUT / recipe.folder
        for file in module_sources(module):
            digest.update(str(file.relative_to(module)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:10]


def module_sources(module: Path) -> list[Path]:
    """Files that a Go module of this checkout is built from: neither its tests, nor modules inside it."""
    files: list[Path] = []
    for place, folders, names in os.walk(module):
        here = Path(place)
        folders[:] = [name for name in folders if name != "testdata" and not (here / name / "go.mod").exists()]
        files += [here / name for name in names if name.endswith(_BUILT_FROM) and not name.endswith("_test.go")]
    return sorted(files)


def folder(recipe: Recipe) -> Path:
    """Where the recipe's result lies, or would lie."""
    return cache_root() / "tools" / f"{recipe.name}-{recipe.version}-{fingerprint(recipe)}"


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the cache's lock ``name``: two checkouts never build the same thing at once."""
    locks = cache_root() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with (locks / name).open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def atomically(target: Path, fill: Callable[[Path], None]) -> None:
    """Fill a temporary folder beside ``target`` and rename it into place; on any failure nothing remains."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for leftover in target.parent.glob(f".{target.name}-*"):
        # A killed debootstrap leaves /proc and /sys mounted there.
        unmount_below(leftover)
        shutil.rmtree(leftover)
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        fill(work)
        work.rename(target)
    finally:
        if work.exists():
            unmount_below(work)
            shutil.rmtree(work, ignore_errors=True)


def ensure(recipe: Recipe) -> tuple[Path, float]:
    """Return the recipe's folder and the seconds spent; builds only what is absent."""
    target = folder(recipe)
    if target.is_dir():
        return target, 0.0
    with locked(recipe.name):
        if target.is_dir():
            return target, 0.0
        if isinstance(recipe, GoTool | Collector | OwnProgram):
            check_go()
        started = time.monotonic()
        print(f"  building {recipe.name} {recipe.version} ...", file=sys.stderr, flush=True)
        logs = cache_root() / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        log = logs / f"{target.name}.log"
        log.unlink(missing_ok=True)
        match recipe:
            case GoTool():
                atomically(target, lambda work: _go(recipe, work, log))
            case Collector():
                atomically(target, lambda work: _collector(recipe, work, log))
            case MavenLibraries():
                atomically(target, lambda work: maven_libraries(recipe.artifacts, work / "libs", log))
            case ExtendedServer():
                atomically(target, lambda work: extended_server(recipe, SOURCES, work, _logged(log)))
            case SearchServer():
                atomically(target, lambda work: assemble(recipe, work, _logged(log)))
            case ServerZip():
                atomically(target, lambda work: unpack(recipe, work, _logged(log)))
            case OwnProgram():
                atomically(target, lambda work: _own(recipe, work, log))
        return target, time.monotonic() - started


def check_go() -> None:
    """Refuse to build with a Go that is older than what our own module asks for.

    Raises:
        LabError: Go is not there, or too old.
    """
    wanted = re.search(r"^go (\d+)\.(\d+)", (CHECKOUT / "collector" / "go.mod").read_text(), re.MULTILINE)
    assert wanted is not None
    try:
        done = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True, timeout=60)
    except OSError:
        raise LabError(f"Go is not there: install Go {wanted[1]}.{wanted[2]} or newer") from None
    there = re.match(r"go(\d+)\.(\d+)", done.stdout)
    if there is None or tuple(map(int, there.groups())) < tuple(map(int, wanted.groups())):
        raise LabError(f"Go is {done.stdout.strip() or 'unknown'}: install Go {wanted[1]}.{wanted[2]} or newer")


_GO_ENV = {
    "GOFLAGS": "-mod=mod -buildvcs=false",
    "CGO_ENABLED": "0",
    "GOGC": "off",
    "GOTOOLCHAIN": "local",
    "GOMEMLIMIT": "6GiB",
}
_GO_BUILD = ("go", "build", "-trimpath", "-gcflags=all=-dwarf=false")
"""Programs are linked without debugging data (``-s -w``), so the compiler makes none. One set of flags for all, since
others would compile the standard library again."""


def _build_cache() -> Path:
    """Compiled packages of upstream's servers, apart from what the user's own builds keep: used once."""
    return cache_root() / "go-build"


@contextmanager
def _build_cache_held(operation: int) -> Iterator[None]:
    locks = cache_root() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with (locks / "go-build").open("w") as handle:
        fcntl.flock(handle, operation)
        yield


def drop_build_cache() -> None:
    """Remove what building upstream's servers has left, unless another checkout builds at this moment."""
    with suppress(BlockingIOError), _build_cache_held(fcntl.LOCK_EX | fcntl.LOCK_NB):
        shutil.rmtree(_build_cache(), ignore_errors=True)


def module_folder(module: str, version: str) -> Path:
    """Folder of a Go module in the module cache, downloaded if need be."""
    return _module_file(module, version, "Dir", cache_root())


def _module_file(module: str, version: str, what: str, cwd: Path) -> Path:
    done = subprocess.run(
        ["go", "mod", "download", "-json", f"{module}@{version}"],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=BUILD_LIMIT_S,
    )
    if done.returncode:
        raise LabError(
            f"module {module}@{version} is not to be had from the Go module registry: {done.stdout.strip()[-300:]}"
        )
    return Path(json.loads(done.stdout)[what])


def _go(recipe: GoTool, work: Path, log: Path) -> None:
    source = work / "src"
    source.mkdir()
    (source / "go.mod").write_text(f"module lab/{recipe.name}\n\ngo 1.24\n")
    if recipe.source:
        shutil.copytree(SOURCES / recipe.source, source, dirs_exist_ok=True)
        module = _module_file(recipe.module, recipe.module_version, "Dir", source)
        for origin, name in recipe.copied.items():
            (source / name).write_bytes((module / origin).read_bytes())
        _stamp_schema(source / "schema.json", recipe.version)
    edits = ["-require", f"{recipe.module}@{recipe.module_version}"]
    go_mod = _module_file(recipe.module, recipe.module_version, "GoMod", source).read_text()
    for old, new in _REPLACED.findall(go_mod):
        edits += ["-replace", f"{old}={new.replace(' ', '@')}"]
    for staged in sorted(set(_STAGING.findall(go_mod))):
        edits += ["-replace", f"{staged}={staged}@v0{recipe.module_version.removeprefix('v1')}"]
    for extra in recipe.requires:
        edits += ["-require", extra]
    run_logged(
        ["go", "mod", "edit", *(f"{flag}={value}" for flag, value in zip(edits[::2], edits[1::2], strict=True))],
        cwd=source,
        log=log,
    )
    tags = ["-tags", ",".join(recipe.tags)] if recipe.tags else []
    environment = {**_GO_ENV, "GOCACHE": str(_build_cache())}
    out = work if len(recipe.programs) > 1 else work / next(iter(recipe.programs))
    with _build_cache_held(fcntl.LOCK_SH):
        command = [*_GO_BUILD, *tags, f"-ldflags={recipe.ldflags}", "-o", str(out), *recipe.programs.values()]
        run_logged(command, cwd=source, log=log, env=environment)
    shutil.rmtree(source)


def _own(recipe: OwnProgram, work: Path, log: Path) -> None:
    command = [*_GO_BUILD, "-ldflags=-s -w", "-o", str(work / recipe.name), "."]
    run_logged(command, cwd=CHECKOUT / recipe.folder, log=log, env=_GO_ENV)


def _copied_module(module: Path, target: Path) -> str:
    """Copy the sources of a module of this checkout, so that its path does not get into what is built.

    Returns:
        The module's name.
    """
    for file in module_sources(module):
        copy = target / file.relative_to(module)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
    return (target / "go.mod").read_text().split(maxsplit=2)[1]


def _stamp_schema(schema: Path, version: str) -> None:
    if schema.exists():
        document = json.loads(schema.read_text())
        document["version"] = version
        schema.write_text(json.dumps(document))


def _collector(recipe: Collector, work: Path, log: Path) -> None:
    source = work / "src"
    source.mkdir()
    manifest: dict[str, object] = {"dist": {"name": "otelcol", "module": "lab/otelcol", "output_path": "./out"}}
    name = _copied_module(CHECKOUT / recipe.folder, source / "own")
    for kind, modules in recipe.components.items():
        manifest[kind] = [
            *({"gomod": f"{module} v{recipe.version}"} for module in modules),
            *({"gomod": f"{name} v0.0.0", "import": f"{name}/{package}"} for package in recipe.own.get(kind, ())),
        ]
    manifest["replaces"] = [f"{name} => ../own"]
    (source / "builder.yaml").write_text(json.dumps(manifest))
    (source / "go.mod").write_text("module lab/builder\n\ngo 1.24\n")
    builder = "go.opentelemetry.io/collector/cmd/builder"
    run_logged(["go", "mod", "edit", f"-require={builder}@v{recipe.version}"], cwd=source, log=log)
    run_logged([*_GO_BUILD, "-ldflags=-s -w", "-o", "ocb", builder], cwd=source, log=log, env=_GO_ENV)
    run_logged(["./ocb", "--config", "builder.yaml", "--skip-compilation"], cwd=source, log=log, env=_GO_ENV)
    command = [*_GO_BUILD, "-ldflags=-s -w", "-o", str(work / recipe.name), "."]
    run_logged(command, cwd=source / "out", log=log, env=_GO_ENV)
    shutil.rmtree(source)


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
        if isinstance(recipe, MavenLibraries | SearchServer | ServerZip):
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


def search_home(name: str = "opensearch") -> Path:
    """Home folder of an assembled search server.

    Raises:
        LabError: It is not there yet.
    """
    recipe = next(recipe for recipe in RECIPES if isinstance(recipe, SearchServer) and recipe.name == name)
    home = folder(recipe) / HOME
    if not home.is_dir():
        raise LabError(f"{recipe.name} {recipe.version} is not there: run `python -m lab tools {recipe.name}`")
    return home


def server_home(name: str) -> Path:
    """Home folder of a server that is one zip, fetched if it is not there yet.

    Raises:
        LabError: The server is unknown, or it cannot be fetched.
    """
    for recipe in RECIPES:
        if isinstance(recipe, ServerZip) and recipe.name == name:
            return ensure(recipe)[0] / HOME
    raise LabError(f"{name} is not a server of this project: see lab/toolchain/recipes.py")
