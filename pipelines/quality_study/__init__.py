"""Quality against cost for every way to spend less on a picture: `python -m pipelines quality`.

settings   what is compared, as data
runs       pictures of one setting, through the step engine
measures   prompt accuracy, SSIM, feature distance, FID and KID, with intervals
results    what was measured, kept as JSON, and what it costs
pareto     the settings that nothing cheaper matches, and what the data recommend
report     the table; figure: the picture
study      all of it in order
"""
