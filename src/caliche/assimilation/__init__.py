"""A record window by window: 4D-Var whose posterior is the next prior."""
