"""How destinations prove who they are: one file for what takes more than a line.

`kinds` has the shapes, `sign` puts a request's proof into it, `oauth2` and `digest` keep what they were given by servers.
"""
