"""The shape of the project itself: who imports whom, what only one place may do, how large a module may be."""
