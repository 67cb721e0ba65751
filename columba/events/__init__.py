"""Events as their account sees them: the list, and the live stream."""
