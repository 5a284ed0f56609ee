"""Metrics: a few numbers of a prediction that say how a process behaves, and their errors."""
