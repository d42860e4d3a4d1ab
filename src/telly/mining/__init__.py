"""Mining of source code: repositories to data sets, rewritten functions, near-duplicates."""
