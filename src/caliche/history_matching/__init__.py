"""History matching: which parameter values the observations do not rule out."""
