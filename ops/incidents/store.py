"""Incidents on disk: one JSON file each, for the owner or the group of the folder; written whole or not at all."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ValidationError

from ops.core.errors import OpsError, one_line
from ops.incidents.model import VERSION, Incident, problem, valid

DEFAULT = Path("~/.local/share/obs/incidents")
VARIABLE = "OBS_INCIDENTS"


class Store:
    """The incidents of one folder; several people and programs may use it at the same time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.expanduser()

    def create(self, build: Callable[[str], Incident], opened: datetime) -> Incident:
        """Make a record with the next free id of the day.

        Args:
            build: Makes the incident, given its id.
            opened: The day that is part of the id.

        Raises:
            OpsError: An incident about the same firing of the same alert is open already, or the folder is unusable.
        """
        with self._locked():
            day = f"INC-{opened:%Y%m%d}-"
            numbers = [int(name) for file in self._files() if (name := file.stem.removeprefix(day)).isdigit()]
            incident = build(f"{day}{max(numbers, default=0) + 1:02d}")
            for other in self.all()[0]:
                same = (other.alert.alert_id, other.alert.starts) == (incident.alert.alert_id, incident.alert.starts)
                if same and other.closed is None:
                    raise OpsError(
                        f"{other.id} is open for this alert since {other.opened:%Y-%m-%d %H:%M} UTC "
                        f"(by {other.opened_by}): add to it with `ops incident note {other.id} TEXT`"
                    )
            self._write(self._file(incident.id), incident)
        return incident

    def read(self, identifier: str) -> Incident:
        """One incident.

        Raises:
            OpsError: There is none such, or its file cannot be used.
        """
        return self._parse(self._known(identifier))

    def change(self, identifier: str, change: Callable[[Incident], Incident]) -> Incident:
        """Change one incident; nobody else can meanwhile.

        Raises:
            OpsError: There is none such, or ``change`` refuses.
        """
        with self._locked():
            file = self._known(identifier)
            with valid():
                # A changed copy has not been checked yet, and what cannot be read again must not be written.
                changed = Incident.model_validate(change(self._parse(file)).model_dump())
            self._write(file, changed)
        return changed

    def all(self) -> tuple[list[Incident], list[str]]:
        """All incidents, the newest first, and what is wrong with files that cannot be used."""
        incidents, problems = [], []
        for file in self._files():
            try:
                incidents.append(self._parse(file))
            except OpsError as error:
                problems.append(str(error))
        return sorted(incidents, key=lambda incident: (incident.opened, incident.id), reverse=True), problems

    def keep(self, identifier: str, name: str, content: BaseModel) -> None:
        """Keep something that belongs to an incident, for example what was collected, beside its record."""
        with self._locked():
            self._write(self._file(identifier, name), content)

    def kept(self, identifier: str, name: str) -> str:
        """What was kept, or nothing."""
        try:
            return self._file(identifier, name).read_text()
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise OpsError(f"{self._file(identifier, name)}: cannot be read: {error.strerror}") from None

    def _known(self, identifier: str) -> Path:
        file = self._file(identifier.strip().upper())
        if "/" in identifier or not file.is_file():
            raise OpsError(f"no incident {identifier!r} in {self.folder}: `ops incident list` shows those there are")
        return file

    def _file(self, identifier: str, name: str = "") -> Path:
        return self.folder / f"{identifier}{f'.{name}' if name else ''}.json"

    def _files(self) -> list[Path]:
        return [file for file in sorted(self.folder.glob("INC-*.json")) if file.name.count(".") == 1]

    def _parse(self, file: Path) -> Incident:
        try:
            content = json.loads(file.read_text())
        except (OSError, ValueError) as error:
            raise OpsError(f"{file}: cannot be read as JSON: {one_line(error, 120)}") from None
        version = content.get("version") if isinstance(content, dict) else None
        if version != VERSION:
            raise OpsError(f"{file}: version is {version!r}, this program reads version {VERSION}: use its own program")
        try:
            return Incident.model_validate_json(json.dumps(content))
        except ValidationError as error:
            raise OpsError(f"{file}: {problem(error)}: mend the file or move it away") from None

    def _write(self, file: Path, content: BaseModel) -> None:
        try:
            with tempfile.NamedTemporaryFile(
                "w", dir=self.folder, prefix=f".{file.stem}-", suffix=".new", delete=False
            ) as draft:
                os.fchmod(draft.fileno(), self._mode())
                draft.write(content.model_dump_json(indent=2) + "\n")
                draft.flush()
                os.fsync(draft.fileno())
            Path(draft.name).replace(file)
        except OSError as error:
            raise OpsError(f"{file}: cannot be written: {error.strerror}") from None

    def _mode(self) -> int:
        """For its owner, and for the group where the folder is the group's; never for everybody."""
        return stat.S_IMODE(self.folder.stat().st_mode) & 0o660

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = self.folder / ".lock"
            if not file.exists():
                file.touch()
                file.chmod(self._mode())
            lock = file.open("w")
        except OSError as error:
            raise OpsError(
                f"the folder of incidents {self.folder} cannot be used: {error.strerror}: name another with --folder "
                f"or {VARIABLE}"
            ) from None
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
