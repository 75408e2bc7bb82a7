"""The only place that speaks SQL. Functions take a plain Session and never commit."""
