"""`caliche train`: a network in the fluxes of a model."""
