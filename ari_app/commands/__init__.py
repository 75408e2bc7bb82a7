"""Command groups that need Asterisk or its ledger."""
