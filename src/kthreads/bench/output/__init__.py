"""Shows a run: tables for a terminal, and a report in HTML with plots in SVG. Uses `model`, `measure` and `analysis`."""
