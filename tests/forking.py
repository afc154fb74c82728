"""For the scenarios that fork: run a function in a forked child, where a hang shows its stack and ends."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def run_forked(function: Callable[[], None], seconds: float = 20) -> None:
    """Fork, call *function* in the child, wait for it; AssertionError unless it returned within *seconds*."""
    child = os.fork()
    if child == 0:
        end(function, seconds)
    assert os.waitpid(child, 0)[1] == 0, "the child failed"


def end(function: Callable[[], None], seconds: float = 20) -> None:
    """Call *function* in a child that was forked, and end the child: status 0 unless it raised or hung."""
    status = 1
    try:
        # An alarm, for the parent's timer of faulthandler was a thread, and did not come along. On the real standard
        # error: what pytest puts in its place may have no descriptor.
        faulthandler.register(signal.SIGALRM, file=sys.__stderr__, chain=True)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        function()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)
