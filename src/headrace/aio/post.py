"""Posts: where the coroutines of one loop wait for one thing of one queue."""

from __future__ import annotations

from collections import OrderedDict

from headrace.backends.memory import loops

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self

    from headrace.aio.hub import Hub

__all__ = ["GETTERS", "JOINERS", "PUTTERS", "Post", "post_of"]

# The lines of a queue.
GETTERS, PUTTERS, JOINERS = range(3)


class Post(loops.Post):
    """Stands in a line of a queue for the coroutines of a loop that wait there, which it rouses in their order.

    A post that was woken rouses as many as find something to do. It stands in the line again when those are back and
    others still sleep: they are in the same loop, so one that is roused comes back unless the loop has ended, and then
    nobody else here wants anything any more.

    Only the loop's thread calls this, save for ``wake``; and a destructor, when the loop has ended.
    """

    hub: Hub
    queue: Any
    line: int
    # Asleep, the longest first.
    sleepers: OrderedDict[Any, None]
    # Asleep again after having been roused in vain: before the others, in the same order.
    again: OrderedDict[Any, None]
    # How many were roused and are not back.
    roused: int
    # For queues that run in Python: how many times all were woken that this one has heard of.
    alarms: int | None

    __slots__ = ("__weakref__", "again", "alarms", "hub", "line", "queue", "roused", "sleepers")

    def __new__(cls, hub: Hub, queue: Any, line: int) -> Self:
        """Of *hub* before that line of *queue*. It stands there once somebody waits."""
        self = super().__new__(cls, hub)
        self.hub = hub
        self.queue = queue
        self.line = line
        self.sleepers = OrderedDict()
        self.again = OrderedDict()
        self.roused = 0
        self.alarms = None
        return self

    def enter(self, sleeper: Any = None) -> Any:
        """Begin to wait: what is returned may be slept on. From now on a change of the queue is noticed.

        It is a new sleeper unless one is given, which may be in other posts too.
        """
        if sleeper is None:
            sleeper = self.hub.sleeper()
        self.sleepers[sleeper] = None
        self.stands_for = len(self.sleepers) + len(self.again)
        if not self.roused:
            try:
                self.queue._watch(self.line, self)
            except BaseException:  # a hook's, or a signal handler's
                self.sleepers.pop(sleeper, None)
                raise
        return sleeper

    def is_asleep(self, sleeper: Any) -> bool:
        """Whether *sleeper* was not roused. Its time may be up, though."""
        return sleeper in self.sleepers or sleeper in self.again

    def enter_again(self, sleeper: Any = None) -> Any:
        """The same for one who was roused and found nothing: before those who were not."""
        self.roused -= 1
        if sleeper is None:
            sleeper = self.hub.sleeper()
        self.again[sleeper] = None
        self.deliver()
        return sleeper

    def leave(self, sleeper: Any) -> None:
        """Be back, however the wait ended. What it was roused for and has not taken is another's."""
        if sleeper in self.sleepers:
            del self.sleepers[sleeper]
        elif sleeper in self.again:
            del self.again[sleeper]
        else:
            self.roused -= 1
        if self.sleepers or self.again:
            self.deliver()
        elif not self.roused:
            hub, queue = self.hub, self.queue
            if hub.posts.get((id(queue), self.line)) is self:
                del hub.posts[id(queue), self.line]
            queue._unwatch(self.line, self)
            # Kept for who waits next in this loop: to make one costs as much as a wait.
            self.queue = None
            hub.spare = self

    def deliver(self) -> None:
        """Rouse those who find something to do, and stand in the line for the others."""
        asleep = len(self.sleepers) + len(self.again)
        if self.take_all():
            count = asleep
        elif asleep:
            try:
                count = min(self.queue._ready(self.line) - self.roused, asleep)
            except Exception:  # a hook's: each shall meet it himself, and nobody else
                count = asleep
        else:
            return
        for _ in range(count):
            sleeper, _none = (self.again or self.sleepers).popitem(last=False)
            self.roused += 1
            if not self.hub.rouse(sleeper):
                self.end()
                return
        if self.sleepers or self.again:
            self.stands_for = len(self.sleepers) + len(self.again)
            if not self.roused:
                self.queue._watch(self.line, self)

    def end(self) -> None:
        """The loop is closed: nobody here will ever look. Others shall."""
        self.sleepers.clear()
        self.again.clear()
        queue = self.queue
        if queue is not None:  # else the last of them was let go of just now, and has left
            self.hub.posts.pop((id(queue), self.line), None)
            queue._unwatch(self.line, self)


def post_of(hub: Hub, queue: Any, line: int) -> Post:
    """The post of *hub* before that line of *queue*, which is made if nobody waits there yet."""
    key = (id(queue), line)
    post = hub.posts.get(key)
    if post is None:
        post, hub.spare = hub.spare, None
        if post is None:
            post = Post(hub, queue, line)
        else:
            post.queue, post.line, post.alarms = queue, line, None
        hub.posts[key] = post
    return post
