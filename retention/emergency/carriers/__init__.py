"""Carriers as keepers of 999 addresses: one interface, and those whose protocols are known."""
