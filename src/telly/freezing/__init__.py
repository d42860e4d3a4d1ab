"""Freezing: which layers are frozen, the split into prefix and suffix, the activation cache, and costs."""
