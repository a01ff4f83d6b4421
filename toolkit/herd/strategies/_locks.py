"""Locks between workers: the five that servers use, each with the system call that its waiters sleep in."""

from __future__ import annotations

import copy
import ctypes
import errno
import fcntl
import mmap
import os
from typing import ClassVar, Final, Protocol, Self

_IPC_PRIVATE: Final = 0
_IPC_RMID: Final = 0
_SETVAL: Final = 16
_SEM_UNDO: Final = 0x1000
_PROCESS_SHARED: Final = 1
_ROBUST: Final = 1
_CLONE_NEWIPC: Final = 0x08000000

_libc = ctypes.CDLL(None, use_errno=True)


class Lock(Protocol):
    """Made in the parent, before the fork; at most one worker holds it."""

    #: Why it doesn't keep threads of one process apart.
    why_not_threads: ClassVar[str | None] = None

    def join(self) -> Self:
        """In each worker, once: the lock as it is to be used there."""
        return self

    def acquire(self) -> None:
        """Wait for it; a signal's handler may end the wait by raising."""

    def release(self) -> None:
        """Let it go."""

    def remove(self) -> None:
        """In the parent, after the workers have ended."""


class _File(Lock):
    """A lock on a file that has no name; the kernel lets it go when its holder dies."""

    def __init__(self) -> None:
        self._file = os.memfd_create("herd-lock")

    def remove(self) -> None:
        """Close the file."""
        os.close(self._file)


class Fcntl(_File):
    """POSIX record lock, fcntl(F_SETLKW): fs/locks.c."""

    why_not_threads = (
        "an fcntl lock belongs to the process, so all its threads hold it; --lock names others"
    )

    def acquire(self) -> None:
        """Wait in fcntl."""
        fcntl.lockf(self._file, fcntl.LOCK_EX)

    def release(self) -> None:
        """Unlock."""
        fcntl.lockf(self._file, fcntl.LOCK_UN)


class Flock(_File):
    """BSD lock, flock(2): fs/locks.c. It belongs to the open file, so each worker opens its own."""

    def join(self) -> Self:
        """Open the file anew."""
        own = copy.copy(self)
        own._file = os.open(f"/proc/self/fd/{self._file}", os.O_RDWR | os.O_CLOEXEC)
        return own

    def acquire(self) -> None:
        """Wait in flock."""
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def release(self) -> None:
        """Unlock."""
        fcntl.flock(self._file, fcntl.LOCK_UN)


class _SemBuf(ctypes.Structure):
    _fields_ = (("num", ctypes.c_ushort), ("op", ctypes.c_short), ("flags", ctypes.c_short))


class SysV(Lock):
    """System V semaphore with SEM_UNDO: ipc/sem.c."""

    def __init__(self) -> None:
        # In a namespace of the pool's own, where that is permitted, the kernel removes it with the last
        # process (free_ipc_ns(), ipc/namespace.c), even if nobody lives to call remove().
        _libc.unshare(_CLONE_NEWIPC)
        self._id = _checked(_libc.semget(_IPC_PRIVATE, 1, 0o600))
        _checked(_libc.semctl(self._id, 0, _SETVAL, 1))

    def acquire(self) -> None:
        """Wait in semop."""
        _patiently(lambda: self._op(-1))

    def release(self) -> None:
        """Add one."""
        _checked(self._op(1))

    def _op(self, change: int) -> int:
        operation = _SemBuf(0, change, _SEM_UNDO)
        return int(_libc.semop(self._id, ctypes.byref(operation), ctypes.c_size_t(1)))

    def remove(self) -> None:
        """Without a namespace of its own it would outlive all processes."""
        _libc.semctl(self._id, 0, _IPC_RMID)


class _InMemory(Lock):
    """A lock in memory that the workers share; its waiters sleep in futex."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)
        self._at = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(self._memory)))

    def remove(self) -> None:
        """It goes with the last process."""


class Posix(_InMemory):
    """POSIX semaphore, sem_wait(3). Nobody gives it back for a holder that dies."""

    def __init__(self) -> None:
        super().__init__()
        _checked(_libc.sem_init(self._at, _PROCESS_SHARED, ctypes.c_uint(1)))

    def acquire(self) -> None:
        """Wait in futex."""
        _patiently(lambda: int(_libc.sem_wait(self._at)))

    def release(self) -> None:
        """Add one."""
        _checked(_libc.sem_post(self._at))


class Futex(_InMemory):
    """Process-shared robust mutex, pthread_mutex_lock(3): the kernel tells the next that its holder died."""

    def __init__(self) -> None:
        super().__init__()
        attributes = ctypes.create_string_buffer(64)
        _libc.pthread_mutexattr_init(attributes)
        _libc.pthread_mutexattr_setpshared(attributes, _PROCESS_SHARED)
        _libc.pthread_mutexattr_setrobust(attributes, _ROBUST)
        _raise_for(_libc.pthread_mutex_init(self._at, attributes))

    def acquire(self) -> None:
        """Wait in futex; a signal's handler runs once the lock is there."""
        error = _libc.pthread_mutex_lock(self._at)
        if error == errno.EOWNERDEAD:
            error = _libc.pthread_mutex_consistent(self._at)
        _raise_for(error)

    def release(self) -> None:
        """Unlock."""
        _raise_for(_libc.pthread_mutex_unlock(self._at))


def _checked(result: int) -> int:
    if result < 0:
        _raise_for(ctypes.get_errno())
    return result


def _patiently(call: object) -> None:
    """Call again after a signal: its handler has run by then, and may have raised."""
    assert callable(call)
    while call() < 0:
        if ctypes.get_errno() != errno.EINTR:
            _raise_for(ctypes.get_errno())


def _raise_for(error: int) -> None:
    if error:
        raise OSError(error, os.strerror(error))


KINDS: Final[dict[str, type[Lock]]] = {
    "fcntl": Fcntl,
    "flock": Flock,
    "sysv": SysV,
    "posix": Posix,
    "futex": Futex,
}
