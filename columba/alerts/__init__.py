"""Alerts: what goes wrong is told, together, not too often, and once more when it is over."""
