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

from typing import TYPE_CHECKING

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


#: The kinds of error by exit code, for one that another process reported.
BY_EXIT_CODE: dict[int, type[HerdError]] = {
    error.exit_code: error for error in (HerdError, UsageError, HostError, RunTimeout, Interrupted)
}
