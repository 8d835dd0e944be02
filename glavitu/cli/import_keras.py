"""The command `import-keras`: published weights as a checkpoint."""

import argparse

from glavitu.cli.parsers import Commands


def add_parser(commands: Commands) -> None:
    """Add the command to a parser."""
    text = "turn published Keras weights into a checkpoint"
    parser = commands.add_parser(
        "import-keras",
        help=text,
        description="Turn Keras weights of the published GlaViTU into a checkpoint that test, map "
        "and finetuning accept. Location encoding and number of classes are read from the file.",
    )
    parser.add_argument("weights", metavar="WEIGHTS.h5", help="file that Keras' save_weights wrote")
    parser.add_argument(
        "--features",
        nargs="+",
        required=True,
        metavar="GROUP",
        help="feature groups in the order of the training, such as: optical dem",
    )
    parser.add_argument("--output", required=True, metavar="CKPT", help="checkpoint to write")
    parser.set_defaults(run=_import_keras)


def _import_keras(options: argparse.Namespace) -> None:
    from glavitu.tasks import import_keras

    task = import_keras(options.weights, options.features, options.output)
    weights = sum(parameter.numel() for parameter in task.model.parameters())
    print(
        f"{options.output}: {weights:,} trainable weights, features "
        f"{', '.join(options.features)}, {task.num_classes} classes, location "
        f"{task.location or 'none'}"
    )
