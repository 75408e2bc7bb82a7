"""Retention policies: data files (one for each provider, and a recommended one), what they may say, and how they change."""
