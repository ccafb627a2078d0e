"""Measurements: ratios, side by side in one run. `python -m bench` lists the scenarios."""
