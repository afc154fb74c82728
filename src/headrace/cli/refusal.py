"""The error of a command line that was understood and cannot be carried out."""

from __future__ import annotations

from headrace.cli import status

__all__ = ["Refused"]


class Refused(Exception):
    """Nothing was run. Printed as ``headrace: MESSAGE``.

    Attributes:
        message: what is wrong with which value, and what to do.
        exit_status: what the process exits with.
    """

    def __init__(self, message: str, exit_status: int = status.USAGE) -> None:
        super().__init__(message)
        self.message = message
        self.exit_status = exit_status
