"""From records to tables, figures and pages; nothing is recomputed here."""
