"""From data files to batches: reading, validation, warnings, distinct sequences and batching."""
