"""Spend: what parts cost, what was spent, and how much an account may spend."""
