"""Which parameters matter: designs, indices, and draws of the prior."""
