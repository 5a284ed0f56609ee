"""Pure functions of arrays, one column at a time: the physics, without models or data."""
