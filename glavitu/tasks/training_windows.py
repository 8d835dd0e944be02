"""What a task remembers of the windows that it is trained on."""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import LightningModule

from glavitu.confidence.training_values import TrainingValues
from glavitu.confidence.window_measures import WindowHistograms
from glavitu.features import FeatureGroup

#: Windows of a training that are measured, the first ones of all processes together.
MOST_WINDOWS = 4096

#: Their key in checkpoints.
KEY = "training_values"


class TrainingWindows(LightningModule):
    """A task whose checkpoints tell what its training windows were like.

    Windows are measured as the data module gives them, before its augmentation.
    """

    features: tuple[FeatureGroup, ...]

    #: What they were like, None where that is not known; it belongs to the weights.
    training_values: TrainingValues | None = None

    #: What is measured in the training that runs, None where no more is.
    _measured: WindowHistograms | None = None

    #: What is known from before it was resumed.
    _earlier: TrainingValues | None = None

    def on_fit_start(self) -> None:
        """Begin to measure, or go on where a training that is resumed has not measured enough."""
        self._earlier = self.training_values
        known = self._earlier is not None and self._earlier.windows in (0, MOST_WINDOWS)
        self._measured = None if known else WindowHistograms(self.features)

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Measure the windows of a batch in training, until they are enough."""
        if self._measured is not None and self.trainer.training:
            self._measured.add(batch["image"][: self._left(self._measured)])
        return batch

    def _left(self, measured: WindowHistograms) -> int:
        """Return how many windows each process is still to measure."""
        earlier = 0 if self._earlier is None else self._earlier.windows
        return max(0, (MOST_WINDOWS - earlier) // self.trainer.world_size - measured.windows)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what the windows of all processes were like; Lightning asks each of them."""
        self._sum_up()
        if self.training_values is not None:
            checkpoint[KEY] = self.training_values.to_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take what the windows of a checkpoint were like, where it tells."""
        self.training_values = read_training_values(checkpoint, self.features)

    def on_fit_end(self) -> None:
        """Know the windows without a checkpoint, too."""
        self._sum_up()
        self._measured = None

    def _sum_up(self) -> None:
        measured = self._measured
        if measured is None or not measured.windows:
            return
        counted = WindowHistograms(self.features)
        counts = measured.counts.to(self.device, copy=True)
        counted.counts = self.trainer.strategy.reduce(counts, reduce_op="sum").cpu()
        # Each process has measured as many windows as the others.
        counted.windows = measured.windows * self.trainer.world_size
        values = TrainingValues.counted(counted)
        self.training_values = values if self._earlier is None else values.joined(self._earlier)
        if not self._left(measured):
            self._measured = None


def read_training_values(
    checkpoint: Mapping[str, Any], groups: tuple[FeatureGroup, ...]
) -> TrainingValues | None:
    """Read what the training windows of a checkpoint were like.

    Args:
        checkpoint: What the file holds.
        groups: Its model's feature groups.

    Returns:
        None where it does not tell, as those of version 0.1 do not.

    Raises:
        InputError: If it does not hold such values.
    """
    stored = checkpoint.get(KEY)
    return None if stored is None else TrainingValues.from_dict(stored, groups)
