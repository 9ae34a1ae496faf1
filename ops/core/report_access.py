"""How the stored reports are reached: a stack output."""

from __future__ import annotations

from typing import Protocol
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from ops.core.errors import OpsError


class ReportAccess(BaseModel):
    """The stack output ``reports``.

    Attributes:
        time_zone: In which days begin.
        languages: Languages of the reports, the first one first.
        reader: User that reads at the report server.
        password: Its password; never shows in a representation.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    time_zone: str
    languages: tuple[str, ...] = Field(min_length=1)
    reader: str
    password: SecretStr

    @property
    def login(self) -> tuple[str, str]:
        """Name and password in the clear, for a client's ``auth`` argument."""
        return self.reader, self.password.get_secret_value()

    @property
    def zone(self) -> ZoneInfo:
        """The time zone."""
        return ZoneInfo(self.time_zone)


class MakesReports(Protocol):
    """A platform, as far as it is about reports."""

    @property
    def reports(self) -> ReportAccess | None:
        """How its reports are reached; None where it makes none."""


def access_of(platform: MakesReports) -> ReportAccess:
    """How the reports of a platform are reached.

    Raises:
        OpsError: It makes none.
    """
    if platform.reports is None:
        raise OpsError("the stack makes no reports: bring up a version of the platform that does")
    return platform.reports
