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

__all__ = ["LogListener", "OpenTelemetryListener", "ProgressListener", "PrometheusListener"]

_MODULES = {
    "LogListener": "log",
    "OpenTelemetryListener": "opentelemetry",
    "ProgressListener": "progress",
    "PrometheusListener": "prometheus",
}


def __getattr__(name: str) -> object:
    if name in _MODULES:
        from importlib import import_module

        value: object = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_MODULES))
