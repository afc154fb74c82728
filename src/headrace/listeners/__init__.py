"""Ready-made listeners for pools: a log, a progress bar, Prometheus and OpenTelemetry.

    headrace.ConsumerPool(queue, handle, listeners=[LogListener(), PrometheusListener()])

Each is imported when it is first asked for; what it needs besides Python is an extra of its own.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from headrace.listeners.log import LogListener
    from headrace.listeners.opentelemetry import OpenTelemetryListener
    from headrace.listeners.progress import ProgressListener
    from headrace.listeners.prometheus import PrometheusListener

_MODULES = {
    "LogListener": "log",
    "OpenTelemetryListener": "opentelemetry",
    "ProgressListener": "progress",
    "PrometheusListener": "prometheus",
}


# Of those with an extra of their own only the ones that are installed: `import *` and help() get at each name here. The
# others are there as well, and say what to install when they are asked for.
_NEEDED = {
    "OpenTelemetryListener": "opentelemetry",
    "PrometheusListener": "prometheus_client",
    "ProgressListener": "rich",
}


def _is_usable(name: str) -> bool:
    from importlib.util import find_spec

    return name not in _NEEDED or find_spec(_NEEDED[name]) is not None


if TYPE_CHECKING:
    __all__ = ["LogListener", "OpenTelemetryListener", "ProgressListener", "PrometheusListener"]
else:
    __all__ = [name for name in _MODULES if _is_usable(name)]


def __getattr__(name: str) -> object:
    if name in _MODULES:
        from importlib import import_module

        value: object = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
