"""The SHA-256 of files, for ``headrace run --call``: prints the same lines as sha256sum.

    find . -name '*.py' | headrace run -j 3 --call hashlib_example:digest

Started in this folder, or with PYTHONPATH naming it. No process is started for a file, and hashlib lets other
threads run while it computes, so that three consumers use three cores.
"""

import hashlib


def digest(path: str) -> str:
    """Return the line that sha256sum prints for the file at *path*."""
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not any(special in path for special in "\\\n\r"):
        return f"{digest}  {path}"
    # sha256sum marks the line of a name that it had to write differently.
    written = path.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return f"\\{digest}  {written}"
