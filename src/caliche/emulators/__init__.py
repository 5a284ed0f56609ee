"""Gaussian-process emulators of a model's outputs, with its exact gradients where they pay."""
