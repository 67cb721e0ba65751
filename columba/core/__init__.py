"""The main path: accept, lanes, receive, events. Knows no capability by name."""
