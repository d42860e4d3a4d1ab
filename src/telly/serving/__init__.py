"""The library over HTTP: a small API and a page for search."""
