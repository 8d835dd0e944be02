"""How warnings and logs are shown where a command runs, and what of Lightning's is not."""

import logging
import sys
import warnings
from typing import Any

#: Parts of messages that are dropped.
NOISE = ("Tip:", "TPU available", "to estimate number of stepping batches")


def warn_plainly() -> None:
    """Show a warning, or what glavitu logs, as a line of its message, without where it is from."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        _write(f"glavitu: warning: {message}")

    warnings.showwarning = show
    logging.getLogger("glavitu").addHandler(_Lines())


class _Lines(logging.Handler):
    """Shows each record as a line."""

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record."""
        _write(f"glavitu: {record.getMessage()}")


def _write(line: str) -> None:
    from tqdm import tqdm  # which clears what progress bars have left of a line

    from glavitu.terminal import printable

    tqdm.write(printable(" ".join(line.split())), file=sys.stderr)


def quieten_lightning() -> None:
    """Drop advertisements and warnings about Lightning's own code from the terminal."""
    logger = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    logger.addFilter(lambda record: not any(word in record.getMessage() for word in NOISE))
    warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\).*")
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message="The dirpath has changed.*")
    # The data module goes on where it was stopped; Lightning looks for that in its loaders.
    warnings.filterwarnings("ignore", message="You're resuming from a checkpoint that ended before")
    warnings.filterwarnings("ignore", message="The number of training batches.*")
    warnings.filterwarnings("ignore", message="LightningCLI's args parameter is intended.*")
    warnings.filterwarnings("ignore", message="You have overridden .on_before_batch_transfer.*")
