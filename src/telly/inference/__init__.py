"""Tuned models ready for use: load one, then embed, generate or classify texts."""
