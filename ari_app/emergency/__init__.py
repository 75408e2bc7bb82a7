"""Calls to 999, tried: the same dialplan in an Asterisk of its own, with answering points of this machine behind its emergency trunks."""
