"""Data for a task from the sources of a repository, in eleven languages and without running any of them."""
