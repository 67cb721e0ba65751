"""Routing: which ways to the networks there are, and which message takes which."""
