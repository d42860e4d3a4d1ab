"""Folders that tuning runs leave behind: their files, records, model cards and settings of inference."""
