"""Measurements: ratios within one run, never tests. ``python -m benchmarks`` prints one JSON object a line."""
