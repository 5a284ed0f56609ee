"""Networks trained through the model: laws of fluxes, and parameters from attributes."""
