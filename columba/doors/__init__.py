"""Other ways in than the REST API: each door speaks a protocol of its own and hands what it is asked to `core.accept`."""
