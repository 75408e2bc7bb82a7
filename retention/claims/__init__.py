"""The published promises, one claim an entry, and the table of checks that prove them from the live system."""
