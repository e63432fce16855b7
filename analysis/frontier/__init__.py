"""Deadline violations against quality: every policy and baseline on the same jobs.

============== =================================================================================
`quality`      the ladder under test, and the score of every way a run can end
`schedules`    when jobs come, and their deadlines
`solved`       what the solvers hand to the policies that need one
`contenders`   each policy and baseline with a knob turned over its range
`study`        the race itself, in one process or several
`bound`        how good any policy could have been on the same jobs
`dominance`    violations at equal quality, quality at equal violations, with intervals
`verdicts`     what follows for the claim, schedule by schedule
`page`, `figure` markdown, JSON and SVG
`command`      `python -m analysis frontier`
============== =================================================================================
"""
