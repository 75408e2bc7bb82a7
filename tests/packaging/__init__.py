"""What is built, and what a new machine makes of it."""
