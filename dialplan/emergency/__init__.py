"""999: the address record, its state at the carrier, and what follows from both for a call."""
