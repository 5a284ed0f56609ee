"""How well a model does: scores, benchmarks, structural error, sensors, plausibility."""
