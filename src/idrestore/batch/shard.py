"""Which part of the work is whose."""

import hashlib
import os
import re
from pathlib import Path
from typing import NamedTuple

from idrestore.batch.job import Job


class Shard(NamedTuple):
    """One of several equal parts of the work, by a hash of where each result goes.

    >>> Shard.parse("2/3")
    Shard(number=2, total=3)
    """

    number: int
    """From 1"""
    total: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read "2/3"; raise `ValueError`."""
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        shard = cls(*map(int, match.groups())) if match else cls(0, 0)
        if not 1 <= shard.number <= shard.total:
            raise ValueError(f"shard: got {text!r}, expected NUMBER/TOTAL such as 1/4, 2/4, 3/4 and 4/4")
        return shard

    def holds(self, job: Job, out: Path) -> bool:
        """Tell whether a job is of this part: the same answer on every machine, whatever else there is to do."""
        relative = job.target.relative_to(out) if job.target.is_relative_to(out) else Path(job.target.name)
        digest = hashlib.sha256(os.fsencode(relative.as_posix())).digest()
        return int.from_bytes(digest[:8]) % self.total == self.number - 1
