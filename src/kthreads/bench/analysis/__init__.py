"""From samples to statements: quantiles, ratios, comparisons, findings. Uses `model`, and does not know how samples were
taken."""
