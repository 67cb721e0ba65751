"""`python -m columba`."""

from columba.cli import main

main()
