"""Asterisk's configuration on this node: gathered from settings and store, put in place, reloaded and verified."""
