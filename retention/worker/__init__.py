"""The worker: a clock that asks again and again whether something is due, and what it does then."""
