"""How the numbers that the theory states are measured: one module a section, each with its VALUES."""
