"""Message templates: named texts with typed parameters, in several languages, drafted, approved and sent by name.

Owns the tables templates and template_revisions, and the snapshot from which messages are made without asking the store.
"""
