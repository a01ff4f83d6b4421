"""Somebody else's code, called so that it can neither take the tool down nor hold it up."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NoReturn

from herd.errors import HerdError, UsageError

#: How long it may take, seconds; an emulated guest, which is slow at everything, is given more.
PATIENCE: Final = "HERD_PATIENCE_S"
_PATIENCE_S: Final = 5.0


class _Late(BaseException):
    """Not an ``Exception``, so that the stranger doesn't catch it by accident."""


def _ring(*_: object) -> NoReturn:
    raise _Late


@contextmanager
def guarded(trouble: str, kind: type[HerdError] = UsageError) -> Iterator[None]:
    """Turn whatever is raised inside, and a hang, into one error; a :class:`HerdError` passes.

    In another thread than the main one no signal can end a hang.

    :param trouble: the error's beginning: ``strategy theirs cannot be imported``
    """
    main = threading.current_thread() is threading.main_thread()
    patience = float(os.environ.get(PATIENCE, _PATIENCE_S))
    before = signal.signal(signal.SIGALRM, _ring) if main else None
    try:
        if main:
            signal.setitimer(signal.ITIMER_REAL, patience)
        yield
    except HerdError:
        raise
    except _Late:
        raise kind(f"{trouble}: it did not end within {patience:g} s") from None
    except (Exception, SystemExit) as error:
        raise kind(f"{trouble}: {type(error).__name__}: {error}") from error
    finally:
        if main:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
