"""Methods that only run members: ensembles and random searches."""
