"""Using a tuned model on a source tree: search, clones, summaries, completion, generation, classes."""
