"""What a run tells of its arrivals, its service and its steady state, each figure with an interval.

One module a topic, over plain arrays; `estimating` asks them all of a run, `page` says it.
"""
