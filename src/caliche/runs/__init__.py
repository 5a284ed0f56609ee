"""Folders of runs: written whole, opened again, and read whichever command wrote them."""
