"""Tuning a model on a task: settings, the run, its record."""
