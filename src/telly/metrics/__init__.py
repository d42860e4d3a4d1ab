"""Metrics as pure functions, each with its name, cut-off and direction."""
