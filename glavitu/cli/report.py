"""The command `report`: tests as a page for the browser."""

import argparse

from glavitu.cli.parsers import Commands


def add_parser(commands: Commands) -> None:
    """Add the command to a parser."""
    text = "put the scores of tests side by side, as a page for the browser"
    parser = commands.add_parser(
        "report",
        help=text,
        description="Write one HTML page about tests: scores of each region, subregion and tile in "
        "tables that sort, plots, the configurations, and sample predictions, the worst tiles "
        "first. The page holds all that it shows and opens without a network.",
    )
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="folder of a test, such as runs/glavitu/version_1: `glavitu test` writes report.json "
        "into it",
    )
    parser.add_argument(
        "--output", default="report.html", metavar="FILE", help="page to write (%(default)s)"
    )
    parser.set_defaults(run=_report)


def _report(options: argparse.Namespace) -> None:
    from glavitu.report import write_report

    print(write_report(options.runs, options.output))
