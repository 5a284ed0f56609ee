"""The seam: what every method takes. A model, observations and a parameter space."""
