"""Decisions, pure: numbers, routing, caller identity, and rendering of Asterisk's configuration. No I/O."""
