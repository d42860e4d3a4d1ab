"""Analysis of layers: probes of what they encode, and similarity between models."""

PROBING_FILE, COMPARE_FILE = "probing.json", "compare.json"
"""Result files of `telly probe` and `telly compare`."""
