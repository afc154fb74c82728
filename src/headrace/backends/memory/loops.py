"""``Hub`` and ``Post`` of the implementation that is in use: how event loops wait before a queue."""

from __future__ import annotations

from headrace.backends.memory import implementation

TYPE_CHECKING = False
if TYPE_CHECKING or implementation == "c":
    from headrace.backends.memory._core import Hub, Post
else:
    from headrace.backends.memory.loops_python import Hub, Post

__all__ = ["Hub", "Post"]
