"""Writing a checkpoint from published weights."""

from collections.abc import Sequence
from pathlib import Path

from lightning.pytorch import Trainer

from glavitu.confidence.training_values import TrainingValues
from glavitu.errors import InputError
from glavitu.features import FeatureLike
from glavitu.models import GlaViTU
from glavitu.regions import LOCATION_SIZES
from glavitu.tasks.checkpoints import CompleteCheckpoints
from glavitu.tasks.glavitu import GlaViTUTask


def import_keras(
    weights: str | Path, features: Sequence[FeatureLike], output: str | Path
) -> GlaViTUTask:
    """Turn published Keras weights into a checkpoint for testing, mapping and finetuning.

    Args:
        weights: HDF5 file written by Keras' ``save_weights``.
        features: Feature groups in the order in which the model was trained.
        output: Checkpoint to write.

    Returns:
        The task that was written.

    Raises:
        InputError: If the file does not fit; see :meth:`glavitu.models.GlaViTU.from_keras`.
    """
    model = GlaViTU.from_keras(weights, features)
    kinds = {size: kind for kind, size in LOCATION_SIZES.items()}
    if model.location_size is not None and model.location_size not in kinds:
        raise InputError(
            f"{weights}: its location encoding reads {model.location_size} numbers; expected 12 "
            "(region encoding) or 4 (coordinate encoding)"
        )
    location = None if model.location_size is None else kinds[model.location_size]
    task = GlaViTUTask(model.features, num_classes=model.num_classes, location=location)
    task.model.load_state_dict(model.state_dict())
    task.training_values = TrainingValues.published(task.features)
    trainer = Trainer(logger=False, accelerator="cpu", enable_checkpointing=False)
    trainer.strategy.connect(task)
    # Lightning's own writes to the system's temporary folder first, and leaves it there if killed.
    trainer.strategy.checkpoint_io = CompleteCheckpoints()
    trainer.save_checkpoint(output, weights_only=True)
    return task.eval()
