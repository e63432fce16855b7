"""Problems that need a solver, solved beforehand and handed to the policies as plain data.

==================== ===========================================================================
`station`            the server: completion rates by rung and by running jobs
`thresholds`         the textbook's one threshold, exactly
`decision_process`   the server as a Markov decision process: chain, prices, policies
`evaluation`         what any policy costs on it in the long run
`policy_iteration`   the best policy of all, with a bound that proves it
`monotone`           the nearest policy that a controller may follow
`tagged`, `lateness` how likely a job misses its deadline: a formula, exactly, and at least
`deadlines`          the policy of least cost when deadlines count, and a bound for every policy
`search`             a policy's better neighbours, by any cost
`clairvoyant`        what nobody could beat who knew a trace beforehand
`proteus`            the split of a rate over rungs, by a linear programme
`confidences`        what a discriminator thinks of pictures
`diffserve`          the cascade's confidence threshold, by an integer linear programme
`plain`              the JSON files that the controllers read
`command`, `solving` `python -m analysis solve`
==================== ===========================================================================
"""
