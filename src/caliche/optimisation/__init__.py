"""Bayesian optimisation: few runs of a dear model, each where an emulator expects most of it."""
