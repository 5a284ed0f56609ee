"""`python -m caliche` is `caliche`."""

from caliche.cli import main

main()
