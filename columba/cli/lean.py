"""structlog, without rich, which it would load, where something else has installed it, for pictures of tracebacks that
are never drawn: 6 MB and a fifth of the start."""

import sys

if "rich" in sys.modules:
    import structlog
else:
    sys.modules["rich"] = None  # type: ignore[assignment]
    import structlog

    del sys.modules["rich"]

__all__ = ["structlog"]
