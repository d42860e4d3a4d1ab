"""Inference with tuned models: load one, then embed, generate or classify texts."""
