"""The one time loop: runs, totals, tangents, and a start that repeats itself."""
