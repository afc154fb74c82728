"""The thread that producers and consumers are: it counts at its queue, and keeps what it raises."""

from __future__ import annotations

import threading

from headrace.consumers.failure import Failure
from headrace.consumers.registry import Place
from headrace.generic import Subscriptable, T

TYPE_CHECKING = False
if TYPE_CHECKING:
    from headrace.consumers.registry import CanShutDown, Side

__all__ = ["Worker"]


class Worker(threading.Thread, Subscriptable[T]):
    """A thread with a place at a queue. Its items are of type T."""

    # A class that forgets to call this __init__ is told so by Thread.start.
    _place: Place | None = None
    _failure: Failure | None = None
    # Whether the queue is shut down when this worker was the last of its side. It is in any case when it has failed.
    _ends_the_queue = False

    def __init__(self, queue: CanShutDown, side: Side, name: str) -> None:
        # Not daemon, even when made by a daemon thread: what it is doing at the end of the program is worth finishing.
        super().__init__(name=name, daemon=False)
        self._place = Place(queue, side)

    def start(self) -> None:
        """Start the thread.

        Raises:
            RuntimeError: it was started before, or the system has no thread left. In the latter case it
                does not count at its queue any more; starting it again later is allowed.
        """
        if self._place is None or self.ident is not None:
            super().start()  # which says what is wrong
            return
        self._place.take()  # a failed start, or a fork, may have removed it
        # Whatever run() a subclass has, its end must be noticed: consumers wait for it.
        vars(self)["run"] = self._live
        try:
            super().start()
        except Exception:
            vars(self).pop("run", None)
            self._place.leave(shut_down=False)
            raise

    def _live(self) -> None:
        vars(self).pop("run", None)
        try:
            self.run()
        except BaseException as error:
            self._failure = Failure(error, self)
        assert self._place is not None
        # After the failure was kept: whom the shut-down wakes may look for it.
        self._place.leave(shut_down=self._ends_the_queue or self._failure is not None)

    def join(self, timeout: float | None = None) -> None:
        """Wait until the thread has ended, and raise what it raised.

        Args:
            timeout: seconds; None waits for as long as it takes. When they are over this returns, as
                ``Thread.join`` does: ask ``is_alive()``.

        Ctrl-C (``KeyboardInterrupt``) while this waits shuts the queue down at once: what waits is dropped, threads
        that are working come to the end of their item, and the program can end.

        Raises:
            BaseException: what ended the thread, the same object at each call. An exception that no ``join``
                ever raised is given to ``threading.excepthook`` once, when the thread object goes or
                at the end of the program.
            RuntimeError: not started, or called by the thread itself.
        """
        try:
            super().join(timeout)
        except KeyboardInterrupt:
            # These threads are not daemons: without this they would work on through all that waits.
            if self._place is not None:
                self._place.shut_down_now()
            raise
        if self._failure is not None and not self.is_alive():
            self._failure.raise_again()
