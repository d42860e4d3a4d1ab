"""The training part of tasks, in torch: shared kinds of tasks, imported when a run starts."""
