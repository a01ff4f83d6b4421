"""Every error that herd reports to its user, each with its exit code.

``main`` prints the message once, on stderr, and exits with the code; users never see a traceback.

====  ==========================================================================
code  meaning
====  ==========================================================================
0     done, and every conservation law held
1     the run failed, ended early, or broke a conservation law (its data is kept)
2     usage: an option, a config file or a path is wrong; nothing was started
3     this host cannot do what was asked
124   the run's ``--timeout`` passed
130   interrupted (SIGINT or SIGTERM)
====  ==========================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from herd.recording.read import Recording


class HerdError(Exception):
    """An error to show to the user: what went wrong, why, and what to do next.

    :param message: one sentence, with the offending value in it
    :param hint: the next step, as a command or an option where there is one
    """

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        #: What was recorded before the error, where there is something.
        self.recording: Recording | None = None

    def as_message(self) -> dict[str, Any]:
        """What another process needs to raise it again: JSON, for :func:`from_message`."""
        return {"message": self.message, "hint": self.hint, "exit_code": self.exit_code}


class UsageError(HerdError):
    """An option, a config file or a path is wrong; nothing was started."""

    exit_code = 2


class Unfit(UsageError):
    """A strategy can't run as it was asked to; another one can."""


class HostError(HerdError):
    """This host lacks something that was asked for."""

    exit_code = 3


class RunTimeout(HerdError):
    """The run took longer than ``--timeout`` allows."""

    exit_code = 124


class Interrupted(HerdError):
    """SIGINT or SIGTERM ended the run."""

    exit_code = 130


_BY_EXIT_CODE = {
    error.exit_code: error for error in (HerdError, UsageError, HostError, RunTimeout, Interrupted)
}


def from_message(said: dict[str, Any]) -> HerdError:
    """The error that another process reported (:meth:`HerdError.as_message`), of the same kind."""
    return _BY_EXIT_CODE.get(said["exit_code"], HerdError)(said["message"], said["hint"])
