"""What observations can say about parameters, before any fit."""
