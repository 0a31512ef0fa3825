"""`make faults`: leads are sent while all breaks that can; at the end book, store and destinations agree.

python -m tests.faults --store sqlite --seed 7       one run; the seed repeats the order of the faults
"""
