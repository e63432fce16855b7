"""How it was measured and what the words mean: definitions, design, statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from analysis.document import Block, Bullets, Heading, Paragraph, Table
from analysis.intervals import BLOCK_MIN, DRAWS, EFFECTIVE_MIN
from analysis.report.gathering import Made
from analysis.report.telling import per_cent

# The load generator's gates. It may not be imported here; a test holds these to its own.
LAG_SHARE = 0.01
LAG_FLOOR_S = 0.010
UNSTAMPED_SHARE_MAX = 0.01
CV_TOLERANCE = 0.1
FALSE_ALARM = 0.001

DEFINITIONS = (
    (
        "latency (response time)",
        "from the instant at which a request was scheduled to the last byte of its answer at the"
        " client, s. Lateness of the generator is inside, so nothing is omitted by a slow sender",
    ),
    ("waiting time", "from a request's arrival at the dispatcher to its place in an engine, s"),
    ("service time", "from the place in an engine to the end of decoding, s"),
    ("p50, p95, p99", "percentiles of latency over the served requests of a run"),
    (
        "load",
        "rate of arrivals over the rate of full service that the engines sustain with full batches"
        " (the capacity), a number without unit",
    ),
    ("utilisation", "share of the engines' time spent in step boundaries: steps, texts, decoding"),
    (
        "degraded share",
        "share of served requests that got fewer steps than full service, or another variant",
    ),
    ("mean steps", "mean of the steps that were run for a served request"),
    ("throughput", "pictures served in a second"),
    (
        "accuracy",
        "share of pictures in which a trained judge reads every attribute of the prompt right",
    ),
    ("SSIM", "structural similarity to the full-service picture of the same prompt and seed"),
    (
        "a priori",
        "predicted without the run: separately profiled service, configuration and rate only",
    ),
    ("trace-driven", "predicted with the arrivals that the run had, and nothing else of it"),
    (
        "finite-run band",
        "the range that holds 95 % of simulated runs of the same length: what chance alone does",
    ),
)


def blocks(made: Mapping[str, Made]) -> list[Block]:
    """The section; `made` says how each results file was made, by its path."""
    return [
        Heading("Method", 1),
        Heading("Definitions", 2),
        Table(
            ("word", "meaning"),
            DEFINITIONS,
            text_columns=2,
            caption="Metrics and words, as used throughout",
        ),
        *_load(),
        *_design(),
        *_statistics(),
        *_conditions(made),
    ]


def _load() -> list[Block]:
    return [
        Heading("Load", 2),
        Paragraph(
            "Requests arrive open loop: their instants are drawn before the run from a seed, as a"
            " Poisson process, and are kept whether or not answers come. A closed loop would wait"
            " for answers and so hide the very queue that is studied. Prompts are drawn from a file"
            " by the same seed. Locust's users replay the schedule from a process of their own."
        ),
        Paragraph("After a run an audit marks it invalid, with reasons, unless:"),
        Bullets(
            (
                "every scheduled request was sent;",
                "the 99th percentile of the lag between schedule and sending is at most"
                f" {per_cent(LAG_SHARE, 0)} of the median service time, or {1000 * LAG_FLOOR_S:g} ms"
                " if that is more;",
                f"at most {per_cent(UNSTAMPED_SHARE_MAX, 0)} of the requests lack the server's stamp"
                " of arrival, and the coefficient of variation of the gaps at the server is within"
                f" {CV_TOLERANCE:g} of the schedule's;",
                "gaps and counts at the server are those of a Poisson process: their coefficient of"
                " variation and dispersion lie in bands that a true Poisson run leaves with a chance"
                f" of {per_cent(FALSE_ALARM, 1)}.",
            )
        ),
    ]


def _design() -> list[Block]:
    return [
        Heading("Design of the experiments", 2),
        Bullets(
            (
                "Pairs and blocks: servers that are compared get the same arrivals, prompts and"
                " picture seeds. So the luck of the draw is the same on both sides, and the"
                " difference is taken pair by pair.",
                "Randomised order: where settings are compared on one machine their order is"
                " drawn at random within each round (block), so that a machine that slows down"
                " harms all alike.",
                "Replication: comparisons are repeated in rounds or blocks, with other seeds, as far as"
                " the time of a command allows; the section says how often, and its intervals what"
                " that leaves open. Simulated figures come from many independent runs.",
                "Seeds: arrivals, prompts, noise of the pictures, order of settings and"
                " bootstrap draws each come from a stated seed.",
                "Warm-up: every server answers some requests before a run counts: models are"
                " loaded and shapes have been met. The beginning of a simulated run is cut; where a"
                " measured run starts empty, so does the simulation that it is compared with.",
                "Separate profile: what a priori predictions know of the service comes from"
                " other runs, or from a profile, never from the run that is predicted.",
                "One thing at a time: a residual is explained by replacing one assumption after"
                " the other by what was measured; what is left over is told as the rest.",
            )
        ),
    ]


def _statistics() -> list[Block]:
    return [
        Heading("Statistics", 2),
        Table(
            ("for", "interval (95 % unless told)", "why"),
            (
                (
                    "mean and percentiles of latency in a run",
                    f"circular block bootstrap, {DRAWS:,} draws; blocks of four correlation lengths,"
                    f" at least {BLOCK_MIN}",
                    "neighbours wait in the same line, so their latencies are alike; drawing single"
                    " ones would give intervals that are too narrow",
                ),
                (
                    "shares (degraded, accuracy, violations)",
                    "Wilson's score interval; Newcombe's for differences",
                    "holds its level for shares near 0 and 1 and for few cases",
                ),
                (
                    "means over replications",
                    "Student's t over independent runs",
                    "replications are independent, and means of runs are nearly normal",
                ),
                (
                    "differences and ratios of paired runs",
                    "by pairs, or a paired bootstrap",
                    "the common arrivals cancel",
                ),
                (
                    "growth of a queue",
                    "Student's t over the increments of windows",
                    "increments of far windows are nearly independent",
                ),
                (
                    "a model's prediction of one run",
                    "the central 95 % of simulated runs of the same length",
                    "a short run differs from the long-run figure by chance, however right the model",
                ),
            ),
            text_columns=3,
            caption="Intervals, and why these",
        ),
        Paragraph(
            "Whether the arrivals of a run are Poisson, which law its service times follow, how much of"
            " its beginning to leave out (MSER-5), what batch means say of its interval, and whether"
            " its log obeys Little's law is told, for any run, by `python -m analysis estimate RUN`;"
            " models and measurement of any run are set side by side by"
            " `python -m analysis compare RUN`."
        ),
        Paragraph(
            f"A run whose latencies are worth fewer than {EFFECTIVE_MIN} independent ones, or whose"
            " percentile rests on a handful of requests, is told to be too short for its claim."
            " Many figures are compared; single intervals are not widened for that, so among a"
            " hundred true statements some five will miss."
        ),
    ]


def _conditions(made: Mapping[str, Made]) -> list[Block]:
    versions: dict[str, set[str]] = {}
    for one in made.values():
        for name, number in one.versions.items():
            versions.setdefault(name, set()).add(number)
    machines = sorted({one.machine for one in made.values() if one.machine})
    found: list[Block] = [Heading("Machine, versions and commits", 2)]
    if not made:
        return [*found, Paragraph("No results file is there to tell them.")]
    found.append(
        Paragraph(
            f"Measured on {'; '.join(machines)}, without a GPU unless a section says otherwise. The"
            " load generator, the web server and the engines share these cores, so absolute figures"
            " are small and ratios are what counts. Runs at different commits are listed apart."
        )
    )
    found.append(_files(made))
    found.append(
        Table(
            ("package", "version"),
            tuple((name, ", ".join(sorted(numbers))) for name, numbers in sorted(versions.items())),
            text_columns=2,
            caption="Versions told by the results files",
        )
    )
    return found


def _files(made: Mapping[str, Made]) -> Table:
    return Table(
        ("results file", "commit", "measured (UTC)", "took, s", "load average", "seed"),
        tuple(
            (
                path,
                one.commit,
                "" if one.started is None else f"{one.started:%Y-%m-%d %H:%M}",
                "" if one.took_s is None else f"{one.took_s:,.0f}",
                "" if one.load_average is None else f"{one.load_average:g}",
                _few(one.seed.split(", ")),
            )
            for path, one in made.items()
        ),
        text_columns=3,
        caption=(
            "What each result was made at; the load average is that of the machine at the end."
            " A commit with + or -dirty had changes that were not committed"
        ),
    )


def _few(seeds: Sequence[str], most: int = 4) -> str:
    return ", ".join(seeds) if len(seeds) <= most else f"{', '.join(seeds[:most])}, ..."
