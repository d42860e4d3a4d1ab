"""The engine: tuning a model on a task."""
