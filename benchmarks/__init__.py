"""Figures of headrace against its peers, taken in the same run: ``python -m benchmarks``."""
