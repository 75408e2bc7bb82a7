"""The whole exception tree. The class says whether a retry can help; the command line turns it into an exit code.

    RingfenceError            1   unexpected
    ├── Invalid               2   input that cannot be what it claims to be
    ├── Refused               3   a rule says no
    ├── NotFound              4
    ├── Conflict              5   the state does not allow it (exists already, schema behind, already running)
    ├── Unavailable          69   something outside is away; retrying may help
    └── Misconfigured        78   settings or files of the installation are wrong

Every message ends with the next step a person can take, when there is one (`hint`).
"""

from __future__ import annotations


class RingfenceError(Exception):
    """Root of the tree.

    Args:
        message: one sentence for a person, without personal data.
        hint: the next step, an imperative sentence; printed on its own line.
    """

    exit_code = 1
    retry = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Invalid(RingfenceError):
    """Input that cannot be what it claims to be."""

    exit_code = 2


class Refused(RingfenceError):
    """A rule says no."""

    exit_code = 3


class NotFound(RingfenceError):
    """The thing named does not exist."""

    exit_code = 4


class Conflict(RingfenceError):
    """The present state does not allow it."""

    exit_code = 5


class Unavailable(RingfenceError):
    """Something outside is away; a retry may help."""

    exit_code = 69
    retry = True


class Misconfigured(RingfenceError):
    """Settings or files of the installation are wrong."""

    exit_code = 78
