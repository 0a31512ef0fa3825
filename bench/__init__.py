"""Measurements, as ratios within one run, because absolute times don't carry from machine to machine."""
