"""Key pairs of the object storage: made once for a lab, kept in files that their owner alone can read."""

from __future__ import annotations

from dataclasses import dataclass, field

from lab.fakes.receivers.keys import aws_key, aws_secret


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """Everything that opens the object storage.

    Attributes:
        root_key: Key id that may do everything; the lab alone uses it.
        root_secret: Its secret.
        key: Key id that may read and write objects of the bucket.
        secret: Its secret.
    """

    root_key: str = field(default_factory=aws_key)
    root_secret: str = field(default_factory=aws_secret)
    key: str = field(default_factory=aws_key)
    secret: str = field(default_factory=aws_secret)

    def all(self) -> list[str]:
        """Every secret text, for those who must not show any."""
        return [self.root_secret, self.secret]


@dataclass(frozen=True, kw_only=True)
class RegionSecrets:
    """What a second region opens, and what both do; in a file of their own, since older labs have none.

    Attributes:
        second_key: Key id that may read and write objects of the second region's bucket.
        second_secret: Its secret.
        witness_key: Key id that may read and write objects of the bucket in which both regions see which region is
        active.
        witness_secret: Its secret.
    """

    second_key: str = field(default_factory=aws_key)
    second_secret: str = field(default_factory=aws_secret)
    witness_key: str = field(default_factory=aws_key)
    witness_secret: str = field(default_factory=aws_secret)

    def all(self) -> list[str]:
        """Every secret text, for those who must not show any."""
        return [self.second_secret, self.witness_secret]
