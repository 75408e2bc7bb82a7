"""Addresses for 999: entering them, what carriers say of them, and which numbers lack one."""
