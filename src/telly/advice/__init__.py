"""Choosing K before a run, from similarity, short pilots and predicted costs."""
