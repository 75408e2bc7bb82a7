"""The worker's commands: they parse, call one function and print."""
