"""Data frames, figures and conclusions from records, for the notebooks."""
