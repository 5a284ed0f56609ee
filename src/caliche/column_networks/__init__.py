"""Networks that take the step of a column: data made by the model itself, training, and checks."""
