"""Choosing K before the run: what similarity says, what short pilots show, what it costs here."""
