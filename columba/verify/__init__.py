"""Two-factor codes: sent to a number, entered, checked once; and the guard that keeps others from having them sent.

Owns the tables verifications and verify_counts. A code is never kept: it is derived from the verification's id with the
installation's key whenever it is sent, and compared by its keyed hash.
"""
