"""Methods that follow gradients: Levenberg-Marquardt, L-BFGS and Adam."""
