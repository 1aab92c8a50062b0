"""The target role: serves objects of its mountpaths."""
