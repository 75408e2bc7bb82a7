"""The daemons beside each Asterisk. Only this package speaks to Asterisk."""
