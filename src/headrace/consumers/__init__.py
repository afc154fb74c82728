"""The people around a queue: producers and consumers, which are threads, and runs of them in one call."""

from __future__ import annotations

from headrace.consumers.consume import consume
from headrace.consumers.consumer import Consumer
from headrace.consumers.producer import Producer
from headrace.consumers.summary import ConsumerSummary, Summary

__all__ = ["Consumer", "ConsumerSummary", "Producer", "Summary", "consume"]
