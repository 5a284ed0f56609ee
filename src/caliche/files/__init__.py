"""Files that are whole whenever they are there, and the states of runs kept in them."""
