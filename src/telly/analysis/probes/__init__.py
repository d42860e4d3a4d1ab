"""Probes: which properties of code a linear map can read from the states of a model's layers."""
