"""EmulatedModel: a column whose step a neural network takes in place of the model."""
