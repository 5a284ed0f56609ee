"""`caliche emulate`: a Gaussian-process emulator of a calibration problem."""
