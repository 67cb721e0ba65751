"""Senders: the numbers, short codes and names that an account sends from, what they may do, and pools of them."""
