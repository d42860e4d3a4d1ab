"""Speed and memory of the variants, measured side by side. `make bench` runs `benchmarks/run.py`."""
