"""Cards: what methods are called and made by. Nothing here loads JAX."""
