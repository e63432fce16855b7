"""Open-loop load: arrival schedules as data, Locust users that replay them, and an audit."""
