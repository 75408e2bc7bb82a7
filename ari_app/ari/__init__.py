"""The ARI connection: one WebSocket, events and REST."""
