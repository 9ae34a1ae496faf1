"""The two revisions of a review: what git says about them, and a place where the older one can run."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ops.core.errors import OpsError, one_line

_LIMIT_S = 120


@dataclass(frozen=True)
class Revision:
    """A commit.

    Attributes:
        asked: What the user wrote.
        commit: The whole hash.
    """

    requested: str
    commit: str

    @property
    def short(self) -> str:
        """Hash to show."""
        return self.commit[:10]

    @property
    def label(self) -> str:
        """What messages call it."""
        return self.requested if self.commit.startswith(self.requested) else f"{self.requested} ({self.short})"


class Repository:
    """A git checkout."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def base(self, requested: str) -> Revision:
        """Where the change began: the common ancestor of ``asked`` and what is checked out.

        Raises:
            OpsError: There is no such revision, or no common ancestor, or a merge is not finished.
        """
        if self._run("rev-parse", "--is-inside-work-tree").returncode:
            raise OpsError(f"{self.root} is not a git checkout: run the review inside one")
        conflicts = sorted(set(self._lines("diff", "--name-only", "--diff-filter=U")))
        if conflicts:
            raise OpsError(
                f"a merge is not finished: conflicts in {', '.join(conflicts)}; resolve them, then repeat the review"
            )
        if (
            requested.startswith("-")
            or self._run("rev-parse", "--verify", "--quiet", f"{requested}^{{commit}}").returncode
        ):
            raise OpsError(
                f"BASE is {requested!r}: git knows no such revision; name a commit, branch or tag (in a shallow clone "
                "fetch it first: git fetch --unshallow)"
            )
        common = self._run("merge-base", requested, "HEAD")
        if common.returncode:
            raise OpsError(
                f"BASE is {requested!r}: it has no commit in common with HEAD; name one that HEAD comes from"
            )
        return Revision(requested, common.stdout.strip())

    def head(self) -> str:
        """What is checked out, in words."""
        name = self._lines("rev-parse", "--short=10", "HEAD")[0]
        changed = self._lines("status", "--porcelain", "--untracked-files=normal")
        return f"{name} with {len(changed)} uncommitted files" if changed else name

    def changed(self, base: Revision) -> list[str]:
        """Files that differ from ``base``, new ones included."""
        tracked = self._lines("diff", "--name-only", "--no-renames", base.commit)
        new = self._lines("ls-files", "--others", "--exclude-standard")
        return sorted(set(tracked) | set(new))

    def text(self, base: Revision, file: str) -> str | None:
        """Content of a file at a revision, or None when it had none."""
        shown = self._run("show", f"{base.commit}:{file}")
        return None if shown.returncode else shown.stdout

    @contextlib.contextmanager
    def checked_out(self, base: Revision) -> Iterator[Path]:
        """A temporary worktree of a revision, gone afterwards."""
        with tempfile.TemporaryDirectory(prefix="obs-review-") as folder:
            place = Path(folder) / "base"
            self._must("worktree", "add", "--quiet", "--detach", "--force", str(place), base.commit)
            try:
                yield place
            finally:
                self._run("worktree", "remove", "--force", str(place))

    def _lines(self, *arguments: str) -> list[str]:
        return [line for line in self._must(*arguments).splitlines() if line]

    def _must(self, *arguments: str) -> str:
        done = self._run(*arguments)
        if done.returncode:
            raise OpsError(f"git {arguments[0]} failed: {one_line(done.stderr)}")
        return done.stdout

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        # No hooks: those of a worktree (post-checkout) are for people.
        command: Sequence[str] = ["git", "-c", "core.hooksPath=/dev/null", "-c", "core.quotePath=false", *arguments]
        try:
            return subprocess.run(
                command, cwd=self.root, capture_output=True, text=True, timeout=_LIMIT_S, stdin=subprocess.DEVNULL
            )
        except FileNotFoundError:
            raise OpsError("git is not installed: the review compares two revisions with it; install git") from None
        except subprocess.TimeoutExpired:
            raise OpsError(f"git {arguments[0]} took over {_LIMIT_S} s and was ended") from None
