"""Scorecards: where a run is better or worse than a control run, and whether that is chance."""
