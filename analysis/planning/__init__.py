"""Before deployment: how many engines a rate needs, at which quality and cost, and where it breaks."""
