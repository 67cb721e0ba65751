"""Forwarding: what people text, passed on to the systems that should have it, as they want it."""
