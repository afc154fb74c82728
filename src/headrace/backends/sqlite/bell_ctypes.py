"""The bell on Linux without the C module: the same system calls, made through ctypes.

An ``ImportError`` wherever that is not certain to work: the calls are tried when this is imported.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
import threading
from operator import index as whole
from time import monotonic

from headrace.backends.sqlite.bell_poll import deadline_in, offset_of, require_count

TYPE_CHECKING = False  # for type checkers; typing itself costs milliseconds to import
if TYPE_CHECKING:
    import mmap
    from typing import Any

__all__ = ["polls", "read", "ring", "wait"]

polls = False

SLICE = 0.5
"""How long the thread that runs signal handlers sleeps at a time: csrc/bell/module.c says why."""

CENTURY = 4e9

NUMBER_OF_FUTEX = {"x86_64": 202, "aarch64": 98}
# From linux/futex.h, all without FUTEX_PRIVATE_FLAG.
WAKE_OP = 5
WAIT_BITSET = 9
ANY_BIT = 2**32 - 1
# "Add 1 to the second word, and wake one more if it was -1": a condition must be, and this one is hardly ever met.
ADD_ONE = 1 << 28 | 1 << 12 | 0xFFF

if not sys.platform.startswith("linux") or sys.maxsize < 2**32 or os.uname().machine not in NUMBER_OF_FUTEX:
    raise ImportError("this system's number of the call futex is not known to headrace")

_futex_number = NUMBER_OF_FUTEX[os.uname().machine]
_syscall: Any = ctypes.CDLL(None, use_errno=True).syscall
_syscall.restype = ctypes.c_long
# All as long as a register: what a variable argument has above its own bits is not defined.
_syscall.argtypes = [ctypes.c_long, ctypes.c_void_p, *(3 * [ctypes.c_long]), ctypes.c_void_p, ctypes.c_long]


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


def _word_of(words: mmap.mmap, index: int) -> ctypes.c_uint32:
    """The word itself. *words* cannot be closed as long as it is referred to."""
    with memoryview(words) as view:
        offset = offset_of(view, index)
    word = ctypes.c_uint32.from_buffer(words, offset)
    if ctypes.addressof(word) % ctypes.sizeof(word):
        raise BufferError("the words do not begin at a multiple of 4 bytes: pass the mapping itself")
    return word


def read(words: mmap.mmap, index: int) -> int:
    """See ``bell.read``."""
    # A plain load; but whoever rings or looks enters the kernel around it, which is a barrier.
    return _word_of(words, index).value


def ring(words: mmap.mmap, index: int, count: int = 2**31 - 1) -> None:
    """See ``bell.ring``."""
    require_count(count)
    address = ctypes.addressof(word := _word_of(words, index))
    # Python has no atomic addition. The kernel has one, made for condition variables: add and wake in one call.
    if _syscall(_futex_number, address, WAKE_OP, count, 0, address, ADD_ONE) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    del word


def wait(words: mmap.mmap, index: int, seen: int, timeout: float | None = None) -> bool:
    """See ``bell.wait``."""
    deadline = deadline_in(timeout)
    seen = whole(seen) & ANY_BIT
    word = _word_of(words, index)
    try:
        return _wait(word, seen, deadline)
    finally:
        # An exception's traceback keeps this frame, and what refers to the word keeps the mapping from being closed.
        del word


def _wait(word: ctypes.c_uint32, seen: int, deadline: float) -> bool:
    try:
        slices = threading.get_ident() == threading.main_thread().ident
        while word.value == seen:
            now = monotonic()
            if now >= deadline:
                return False
            reason = _sleep(ctypes.addressof(word), seen, min(deadline, now + (SLICE if slices else CENTURY)))
            if reason not in (0, errno.EAGAIN, errno.ETIMEDOUT):
                # A signal; or a handler has used ctypes, and this is the reason of a failure of its own.
                return True
        return True
    finally:
        del word


def _sleep(address: int, seen: int, until: float) -> int:
    """Sleep while the word at *address* is *seen*; return 0, or the number of the reason why not."""
    limit = _Timespec(int(until), int(until % 1 * 1e9))
    if _syscall(_futex_number, address, WAIT_BITSET, seen, ctypes.addressof(limit), None, ANY_BIT) == 0:
        return 0
    return ctypes.get_errno()


def _try_out() -> None:
    """Ring, and wait where there is nothing to wait for; ImportError if this kernel does something else."""
    words: Any = bytearray(8)
    ring(words, 1)
    word = _word_of(words, 1)
    if word.value != 1 or _sleep(ctypes.addressof(word), 0, 0.0) != errno.EAGAIN:
        raise ImportError("this system's call futex does not do what Linux's does")


try:
    _try_out()
except OSError as error:
    raise ImportError(f"this system does not let headrace use the call futex: {error}") from error
