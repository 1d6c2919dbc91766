"""Where a corpus comes from, and the one form that it has."""
