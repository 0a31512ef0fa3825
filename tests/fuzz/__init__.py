"""Hostile bodies: what must hold of any, and how they are made. `make fuzz` looks for one that breaks it."""
