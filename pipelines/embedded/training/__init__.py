"""Training of the embedded model from seeds: judge, autoencoder, `full`, `small`, `turbo`, evaluation, model card.

`python -m pipelines.embedded.training` runs all stages in order, resuming where an earlier run stopped.
"""
