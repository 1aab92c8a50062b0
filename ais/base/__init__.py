"""Standard library only: errors, names, units, identifiers."""
