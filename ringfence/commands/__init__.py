"""Command groups for what every process shares."""
