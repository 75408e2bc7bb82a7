"""Purge: plan, brakes, batches with receipts, files, sealed days."""
