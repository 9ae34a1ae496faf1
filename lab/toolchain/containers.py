"""Images that are built here from Dockerfiles, with buildah: no daemon, no foreign image, storage in the cache.

Ours are built by `ops images build`, as anybody builds them; only their base, Debian as it was published, is made here.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from components.versions import IMAGES, OURS
from lab import LabError
from lab.paths import CHECKOUT, cache_root
from lab.toolchain import recipes
from lab.toolchain.images import Layer, file_digest, server_images, short_digest
from lab.toolchain.recipes import PREVIOUS_KAFKA
from lab.toolchain.tools import locked, run_logged
from ops.images.catalogue import chosen

_SUITE = "bookworm"
_PACKAGES = ("ca-certificates",)
"""Of those that images are built with: installed later, it would make the list of authorities anew."""
_PAPERS = ("usr/share/doc", "usr/share/man", "usr/share/locale")
_CONFIGURATION = {
    "etc/apt/apt.conf.d/clean": 'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb"; };\n'
    'Dir::Cache::pkgcache "";\nDir::Cache::srcpkgcache "";\n',
    "etc/dpkg/dpkg.cfg.d/papers": "".join(f"path-exclude /{folder}/*\n" for folder in _PAPERS),
}
"""As in the public image: what is installed leaves neither packages nor papers behind."""


def base() -> Layer:
    """Debian's smallest system, in which packages can be installed."""

    def fill(root: Path) -> None:
        command = ["debootstrap", "--variant=minbase", f"--include={','.join(_PACKAGES)}", _SUITE, str(root)]
        run_logged([*command, *_mirrors()[:1]], cwd=root.parent, log=cache_root() / "logs" / "debootstrap.log")
        for waste in (*_PAPERS, "var/lib/apt", "var/cache", "var/log", "dev"):
            shutil.rmtree(root / waste, ignore_errors=True)
        for folder in ("dev", "var/log", "var/cache"):
            (root / folder).mkdir()
        for name, text in _CONFIGURATION.items():
            (root / name).write_text(text)

    return Layer(f"base-{_SUITE}-{short_digest((_PACKAGES, _CONFIGURATION))}", fill)


def _mirrors() -> list[str]:
    """Debian mirrors that this machine's apt uses."""
    process = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return [line.split()[0] for line in process.stdout.splitlines() if re.search(r"/debian/? ", line)]


DOCKERFILES: Final = ("kafka", "opensearch", "services", "backup", "reports")
"""Images of ours by their short names. The collector's is laid of the program that tests run, which its Dockerfile
builds in the same way, since building it twice takes minutes."""
SIMULATOR: Final = "simulator"
KAFKA_BEFORE: Final = "kafka-previous"
"""Name of the image of the release before the platform's."""
LAB: Final = ("opensearch", "postgres", "grafana", SIMULATOR)
"""Targets of the lab's own Dockerfile; each takes the place of the platform's image of its name."""
_LAB_DOCKERFILE = CHECKOUT / "lab" / "images" / "Dockerfile"
_PARENTS = {"SERVICES": "services", "BACKUP": "backup", "OPENSEARCH": "opensearch"}
_HERE = "localhost"
_REVISION = re.compile(r"<revision>.*</revision>")
_COPIED = re.compile(r"^COPY (?!--from)(?:--\S+ )*(.+)$", re.MULTILINE)
_AUTHORITIES = Path("/etc/ssl/certs")
_BUNDLE = _AUTHORITIES / "ca-certificates.crt"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LIMIT_S = 600
_BUILD_LIMIT_S = 1800
_ROOM_BYTES = 8 * 2**30
"""More than this of earlier builds is thrown away where a build may do so."""


def environment() -> dict[str, str]:
    """Environment in which buildah works here; written beside the storage that it names."""
    root = cache_root() / "containers"
    root.mkdir(parents=True, exist_ok=True)
    configuration = root / "storage.conf"
    text = f'[storage]\ndriver = "overlay"\ngraphroot = "{root}/storage"\nrunroot = "{root}/run"\n'
    if not configuration.exists() or configuration.read_text() != text:
        part = configuration.with_suffix(f".{os.getpid()}")
        part.write_text(text)
        part.replace(configuration)
    return {
        **os.environ,
        "BUILDAH_ISOLATION": "chroot",
        "STORAGE_DRIVER": "overlay",
        "CONTAINERS_STORAGE_CONF": str(configuration),
        "PYTHONPATH": str(CHECKOUT),
    }


def base_image() -> str:
    """An image of Debian, for ``BASE``.

    It trusts the authorities that this machine trusts, since downloads during a build may pass a proxy.

    Raises:
        LabError: It cannot be made.
    """
    layer = base()
    content = layer.ensure()
    name = f"localhost/obs-base:{layer.key}-{file_digest(_BUNDLE)[:10]}"
    with locked("containers"):
        if _present(name):
            return name
        container = _buildah("from", "scratch")
        try:
            _buildah("add", "--quiet", container, str(content), "/")
            _buildah("add", "--quiet", container, str(_AUTHORITIES), str(_AUTHORITIES))
            _buildah("config", "--env", f"PATH={_PATH}", container)
            _buildah("commit", "--quiet", container, name)
        finally:
            _buildah("rm", container, check=False)
    return name


def build(
    names: Sequence[str] = DOCKERFILES, targets: Sequence[str] = LAB, *, make_room: bool = False
) -> dict[str, str]:
    """Build images that were not built of the same files before; what their layers share is built once.

    Args:
        names: Of `DOCKERFILES`.
        targets: Of `LAB`; what they are built from is among the names.
        make_room: Whether one that has to be built may throw away what earlier builds have left, where it is too much.

    Returns:
        Short name, or target, of each -> the id of its image.

    Raises:
        LabError: One cannot be built.
    """
    base = base_image()
    with locked("builds"):
        references = {image.name: _reference(image.name, image.dockerfile, base) for image in chosen(names, only=OURS)}
        missing = [name for name, reference in references.items() if not _present(reference)]
        if missing and make_room and _stored_bytes() > _ROOM_BYTES:
            _buildah("rmi", "--all", "--force")
            base, missing = base_image(), list(references)
        if missing:
            _build_ours(missing, base)
        for name in missing:
            _buildah("tag", f"{_HERE}/{IMAGES[name]}", references[name])
        ids = {name: image_id(reference) for name, reference in references.items()}
        parents = {"BASE": base, **{argument: references.get(name, "") for argument, name in _PARENTS.items()}}
        for target in targets:
            reference = _reference(f"lab-{target}", _LAB_DOCKERFILE, *parents.values())
            if not _present(reference):
                _bud(target, reference, parents)
            ids[target] = image_id(reference)
    return ids


def build_all() -> dict[str, str]:
    """Build what the cache lacks of the platform's images: their packages come from outside of the lab's network.

    Returns:
        Short name of each image that is built from a Dockerfile -> its id.

    Raises:
        LabError: One cannot be built.
    """
    for image in server_images():
        for layer in image.layers:
            layer.ensure()
    return build(make_room=True)


def build_previous_kafka() -> str:
    """Build Kafka's image with the release before the platform's, of the same Dockerfile; the image's id.

    Raises:
        LabError: It cannot be built.
    """
    base = base_image()
    [image] = chosen(["kafka"], only=OURS)
    reference = _reference(KAFKA_BEFORE, image.dockerfile, base, PREVIOUS_KAFKA)
    with locked("builds"), tempfile.TemporaryDirectory(prefix="obs-image-") as folder:
        if not _present(reference):
            pom = recipes.KAFKA_POM.relative_to(CHECKOUT)
            for source in _sources(image.dockerfile):
                target = Path(folder) / source.relative_to(CHECKOUT)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
            text = _REVISION.sub(
                f"<revision>{PREVIOUS_KAFKA}</revision>", recipes.KAFKA_POM.read_text(encoding="utf-8")
            )
            (Path(folder) / pom).write_text(text, encoding="utf-8")
            print(f"  building image {image.repository}:{PREVIOUS_KAFKA} ...", file=sys.stderr, flush=True)
            options = ["--layers", "--quiet", "--target", image.name, "--tag", reference, "--build-arg", f"BASE={base}"]
            _buildah("bud", *options, "--file", str(image.dockerfile), folder, limit_s=_BUILD_LIMIT_S)
        return image_id(reference)


def _stored_bytes() -> int:
    """What images of all builds take on the disk."""
    total = 0
    for folder, _, files in os.walk(cache_root() / "containers" / "storage"):
        for file in files:
            with suppress(FileNotFoundError):
                total += os.lstat(f"{folder}/{file}").st_blocks * 512
    return total


def _build_ours(names: Sequence[str], base: str) -> None:
    """Run the command that users type; what it says is shown."""
    command = [sys.executable, "-m", "ops", "images", "build", *names, "--registry", _HERE, "--tool", "buildah"]
    try:
        done = subprocess.run(
            [*command, "--build-arg", f"BASE={base}"],
            cwd=CHECKOUT,
            env=environment(),
            stdin=subprocess.DEVNULL,
            timeout=_BUILD_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise LabError(f"building {', '.join(names)} took over {_BUILD_LIMIT_S} s and was ended") from None
    if done.returncode:
        raise LabError(f"an image of {', '.join(names)} could not be built: see above")


def _reference(name: str, dockerfile: Path, *parents: str) -> str:
    """What an image is called here: by its Dockerfile, what that copies, and what it is built from."""
    digest = hashlib.sha256("\n".join((dockerfile.read_text(encoding="utf-8"), *parents)).encode())
    for file in _sources(dockerfile):
        digest.update(f"{file.relative_to(CHECKOUT)} {file_digest(file)}\n".encode())
    return f"{_HERE}/built/{name}:{digest.hexdigest()[:16]}"


def _sources(dockerfile: Path) -> Iterator[Path]:
    """Files of the checkout that a Dockerfile copies."""
    for line in _COPIED.findall(dockerfile.read_text(encoding="utf-8")):
        for source in [CHECKOUT / word for word in line.split()[:-1]]:
            files = sorted(source.rglob("*")) if source.is_dir() else [source]
            yield from (file for file in files if file.is_file() and "__pycache__" not in file.parts)


def _present(reference: str) -> bool:
    return bool(_buildah("images", "--quiet", reference, check=False))


def _bud(target: str, reference: str, parents: Mapping[str, str]) -> None:
    print(f"  building image {target} of the lab ...", file=sys.stderr, flush=True)
    arguments = [part for pair in parents.items() for part in ("--build-arg", "=".join(pair))]
    command = ["bud", "--layers", "--quiet", "--target", target, "--tag", reference, *arguments]
    ignored = _LAB_DOCKERFILE.with_name("Dockerfile.dockerignore")
    _buildah(*command, "--ignorefile", str(ignored), "--file", str(_LAB_DOCKERFILE), str(CHECKOUT))


def image_id(reference: str) -> str:
    """Id of an image that was built: the digest of its configuration.

    Raises:
        LabError: There is none.
    """
    text = _buildah("inspect", "--type", "image", "--format", "{{.FromImageID}}", reference)
    return f"sha256:{text.removeprefix('sha256:')}"


def push(image: str, reference: str, *, certificates: Path, login: Path) -> None:
    """Send an image to a registry as it is stored, not compressed: whoever pulls is on this machine.

    By skopeo, since buildah compresses what goes to a registry whatever it is told.

    Args:
        image: Its id.
        reference: ``host/repository:tag``.
        certificates: Folder with the registry's authority in ``ca.crt``.
        login: File with the login.

    Raises:
        LabError: It cannot be sent.
    """
    options = ["--quiet", "--preserve-digests", "--dest-cert-dir", str(certificates), "--dest-authfile", str(login)]
    _run("skopeo", "copy", *options, f"containers-storage:@{image.removeprefix('sha256:')}", f"docker://{reference}")


def _buildah(*arguments: str, check: bool = True, limit_s: float = _LIMIT_S) -> str:
    return _run("buildah", *arguments, check=check, limit_s=limit_s)


def _run(program: str, *arguments: str, check: bool = True, limit_s: float = _LIMIT_S) -> str:
    """Run a program and return what it prints; without ``check``, nothing where it fails."""
    try:
        done = subprocess.run(
            [program, *arguments],
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )
    except FileNotFoundError:
        raise LabError(f"{program} is not on PATH: run `make tools`") from None
    except subprocess.TimeoutExpired:
        raise LabError(f"{program} {arguments[0]} took over {limit_s:.0f} s and was ended") from None
    if done.returncode and check:
        raise LabError(f"{program} {arguments[0]} failed: {done.stderr.strip()[-300:]}")
    return done.stdout.strip() if done.returncode == 0 else ""
