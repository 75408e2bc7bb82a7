"""The audit log: what was done, in an order nobody can change afterwards, and without anybody's personal data."""
