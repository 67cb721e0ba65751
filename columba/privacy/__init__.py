"""What is kept of people, and for how long: exported and erased by number, swept by age, and who saw or changed what.

Owns the tables privacy_jobs, privacy_swept, privacy_left, audit and audit_head. What each capability holds of a person is
named by a Holding (`holding`), and keeping.py lists them.
"""
