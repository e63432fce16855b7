"""Models beside a measured run, and what the difference between them is made of."""
