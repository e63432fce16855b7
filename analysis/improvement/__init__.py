"""What the optimised system gains over the one that always gives full service, in percent with intervals."""
