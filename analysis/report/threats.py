"""Threats to validity, in the four classes of Cook and Campbell, and what was done about each."""

from __future__ import annotations

from analysis.document import Block, Heading, Paragraph, Table

INTERNAL = (
    (
        "Generator, web server and engines share the cores",
        "the costs that predictions use are counted in service by the engines themselves, so the"
        " competition is in them; the audit bounds the generator's lag",
    ),
    (
        "The machine's speed changes from second to second and from run to run",
        "pairs and random order within blocks; the speed over a run is one of the causes that are"
        " swapped, and the a priori band of a live run has it",
    ),
    (
        "Other processes",
        "the load average is stored with every result; live studies are run alone",
    ),
    (
        "Start of a run: empty queue, cold caches",
        "requests before the run; simulated runs that are compared with it start empty as well",
    ),
    (
        "Looking changes what is seen (polling of state and costs)",
        "once a second, by the generator's parent process; its requests are few beside the load",
    ),
    (
        "Tuning on the runs that are reported",
        "claims, limits and goals were written down before the measurements; what fails stays in",
    ),
)
EXTERNAL = (
    (
        "A small model and small pictures on a processor",
        "none: figures in seconds and the price of fewer steps carry over to no other model or"
        " machine; the method does, with that machine's own profile",
    ),
    (
        "Batching pays differently on accelerators",
        "models and simulator take the measured cost table of whatever machine they run for",
    ),
    (
        "Poisson arrivals of like requests",
        "bursts and days are simulated; models with Markov-modulated arrivals are there. Real"
        " traces are burstier than Poisson in the long run",
    ),
    (
        "One engine, one machine",
        "many engines are simulated and modelled only; nothing is claimed for networks between them",
    ),
)
CONSTRUCT = (
    (
        "Accuracy is read by a trained judge",
        "it reads attributes of simple scenes; its error is in all settings alike, and SSIM to the"
        " full picture is told beside it",
    ),
    (
        "Degraded does not mean visibly worse",
        "the share counts fewer steps, the quality study tells what they cost",
    ),
    (
        "Latency at the client of one machine",
        "the network is the loopback; a real network adds to every figure alike",
    ),
    (
        "Capacity is a profile's figure",
        "it is measured on the idle machine; in service steps are slower, so loads told as multiples"
        " of it are heavier than they look",
    ),
)
CONCLUSION = (
    (
        "Latencies of neighbours are correlated",
        "block bootstrap; the number of independent latencies is told where it is small",
    ),
    (
        "High percentiles of short runs",
        "a p99 of a few hundred requests is about their maximum: told as such, and compared with the"
        " model's band for runs of that length",
    ),
    (
        "Near capacity a run would need tens of thousands of requests",
        "comparison with the realised arrivals, which takes most of the chance out, and the"
        " finite-run band beside it",
    ),
    (
        "Many comparisons",
        "intervals are for single figures; the number of comparisons is in the tables, misses are"
        " listed",
    ),
    (
        "Few replications of live runs",
        "the time of a command is bounded; intervals say what that leaves open",
    ),
)


def blocks() -> list[Block]:
    """The section."""
    found: list[Block] = [
        Heading("Threats to validity", 1),
        Paragraph("What could make the conclusions wrong, and what was done about it."),
    ]
    for title, question, rows in (
        ("Internal validity", "Is the cause what it is said to be?", INTERNAL),
        ("External validity", "Does it hold elsewhere?", EXTERNAL),
        ("Construct validity", "Is what is measured what is meant?", CONSTRUCT),
        ("Conclusion validity", "Do the numbers carry the statement?", CONCLUSION),
    ):
        found += [
            Heading(title, 2),
            Table(
                ("threat", "what was done"), rows, text_columns=2, caption=f"{title}: {question}"
            ),
        ]
    return found
