"""The command `compare`: outlines against others."""

import argparse

from glavitu.cli.parsers import Commands


def add_parser(commands: Commands) -> None:
    """Add the command to a parser."""
    text = "compare outlines with an inventory or with experts: areas and distances"
    parser = commands.add_parser(
        "compare",
        help=text,
        description="Compare predicted glacier outlines with reference outlines, glacier by "
        "glacier: how far the areas deviate, in percent, and how far the outlines lie apart, in "
        "metres. All files hold polygons and may have any CRS. Writes comparison.csv (a row per "
        "glacier), comparison.json (totals and settings) and comparison.png.",
        epilog="A glacier of REFERENCE that lies outside the mapped scene counts as missed, and "
        "one that the scene's edge cuts deviates: clip REFERENCE to the scene first.",
    )
    parser.add_argument(
        "predicted", metavar="PREDICTED", help="outlines to judge, such as outlines.gpkg of a map"
    )
    parser.add_argument(
        "reference", metavar="REFERENCE", help="outlines to judge by, such as those of an inventory"
    )
    parser.add_argument(
        "--experts",
        nargs="+",
        default=[],
        metavar="FILE",
        help="the same glaciers as drawn by further experts; tells how far experts differ among "
        "themselves, and whether the prediction lies within. REFERENCE counts as one expert too",
    )
    parser.add_argument(
        "--id",
        metavar="COLUMN",
        help="column that names the glacier in all files; otherwise outlines are matched by the "
        "area that they share",
    )
    parser.add_argument(
        "--layer",
        action="append",
        default=[],
        metavar="NAME",
        help="layer with the outlines, in files of which several layers hold polygons; may be "
        "repeated where files call it differently",
    )
    parser.add_argument(
        "--output", default="comparison", metavar="DIR", help="folder for the files (%(default)s)"
    )
    parser.set_defaults(run=_compare)


def _compare(options: argparse.Namespace) -> None:
    from glavitu.compare import compare, print_summary

    result = compare(
        options.predicted,
        options.reference,
        options.output,
        experts=options.experts,
        id_column=options.id,
        layer=options.layer,
    )
    print_summary(result.summary)
    for path in (result.csv, result.json, result.figure):
        print(f"  {path}")
