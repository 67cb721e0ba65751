"""Messages: sending, reading, canceling, redacting, previewing."""
