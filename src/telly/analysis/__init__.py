"""What layers know and what tuning changes: layer states, and similarity of models."""

PROBING_FILE, COMPARE_FILE = "probing.json", "compare.json"
"""What `telly probe` and `telly compare` write into their folders."""
