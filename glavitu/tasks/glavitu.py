"""The LightningModule that trains and applies GlaViTU and its baselines."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torchmetrics import MeanMetric, MetricCollection

from glavitu._version import __version__
from glavitu.classes import UNKNOWN as UNKNOWN_CLASS
from glavitu.confidence.calibration import Calibration
from glavitu.errors import InputError
from glavitu.features import FeatureGroup, resolve_features
from glavitu.losses import build_loss
from glavitu.metrics import GlacierIoU, RegionConfusion
from glavitu.metrics.region_confusion import most_probable
from glavitu.metrics.scores import in_mean
from glavitu.models.blending import predict_blended
from glavitu.models.build import build_model, check_logits, set_momentum
from glavitu.models.compiling import can_compile
from glavitu.models.inference import Inference, check_ensemble
from glavitu.regions import UNKNOWN, region_vector
from glavitu.tasks.checkpoints import (
    check_fit,
    check_numbers,
    read_calibration,
    read_checkpoint,
    start_from,
    why_unloadable,
)
from glavitu.tasks.hyperparameters import (
    check_buildable,
    check_hyperparameters,
    check_images,
    class_name,
    is_buildable,
    plain_hyperparameters,
)
from glavitu.tasks.precision import counting_in_float32
from glavitu.tasks.schedule import LossWatch, cosine_cycles
from glavitu.tasks.stored import NOT_KEPT, check_progress, check_weights
from glavitu.tasks.training_windows import TrainingWindows, read_training_values

#: Keras' own, as published; PyTorch's is 1e-8.
ADAM_EPSILON = 1e-7


class GlaViTUTask(TrainingWindows):
    """Trains GlaViTU, or a baseline behind the same fusion, to map glaciers.

    The defaults are the published training (Maslov et al. 2025). A checkpoint holds all that is
    needed to build the task again.

    Args:
        features: Feature groups in the order of the image's channels.
        model: ``'glavitu'``, an architecture of segmentation-models-pytorch such as ``'unet'`` or
            ``'deeplabv3plus'``, or any module that maps images (B, C, H, W) to logits
            (B, classes, H, W), and takes a location after them where there is one.
        model_args: Further arguments of :class:`~glavitu.models.GlaViTU` (width, depth, heads,
            dropout) or :class:`~glavitu.models.FusedSegmenter` (encoder, width, dropout,
            encoder_weights). With a module, what it was built of, for the checkpoint to keep.
        num_classes: Number of classes; class 1 is the glacier.
        location: What the model is told of the place: ``'region'``, ``'coordinates'`` or None.
        image_size: Side in pixels of the training patches and of the windows in prediction, a
            multiple of 16.
        lr: Learning rate at the start of each cosine cycle.
        cycle_epochs: Length of the first cosine cycle in epochs.
        cycle_growth: How many times longer each next cycle is: 10, 20, 40 and 80 epochs by
            default.
        loss: ``'focal'``, ``'cross_entropy'``, ``'dice'`` or ``'jaccard'``, or a module of logits
            (B, classes, H, W) and class indices (B, H, W), which must itself leave out pixels of
            class 255, unknown.
        gamma: Focusing exponent of the focal loss.
        label_smoothing: Label smoothing of the focal loss and the cross-entropy.
        deep_supervision: Weight of the loss of GlaViTU's deep-supervision head.
        initial_weights: Checkpoint of the same model to start from, such as one from
            ``glavitu import-keras``. Number of classes and location may differ: then the heads or
            the location encoding start untrained, and a warning says so.
        batch_norm_momentum: Share of a batch in the running statistics of all batch norms, above 0
            and at most 1. By default the model's own, for GlaViTU the published 0.01. Trainings of
            a few hundred steps want 0.1, or the statistics do not settle.
        inference: What the probabilities of whole tiles and scenes are the mean of, nothing by
            default: ``'tta'``, the 8 symmetries of the square (8 times the time);
            ``'mc-dropout:N'``, N runs with dropout 0.10 on (N times the time, N is 10 where it is
            left out); the path of a further checkpoint, an ensemble with it (as many times as
            there are checkpoints); or a list of these, which multiply. It is no part of a
            checkpoint, and neither training nor validation knows it.
        mirrored: Whether tiles and scenes are mirrored at their borders where windows of a
            prediction reach beyond them, or 0 lies there, as published. By default what the data of
            the training decides: mirrored where its padding is unknown, for then windows lay inside
            and showed no such zeros.
        compile: Train with compiled graphs. The first step then takes a minute or two, and each
            later one about a fifth less on a CPU; worth it for trainings of more than some hundred
            steps. Without a C++ compiler training goes on uncompiled, and a warning says so.

    Raises:
        InputError: If an argument does not fit the model, or the initial weights or the ensemble's
            checkpoints do not fit.
    """

    def __init__(
        self,
        features: Sequence[str | FeatureGroup] = ("optical", "dem"),
        model: str | nn.Module = "glavitu",
        model_args: dict[str, Any] | None = None,
        num_classes: int = 2,
        location: str | None = None,
        image_size: int = 384,
        lr: float = 5e-4,
        cycle_epochs: int = 10,
        cycle_growth: int = 2,
        gamma: float = 2.0,
        label_smoothing: float = 0.1,
        deep_supervision: float = 0.5,
        initial_weights: str | None = None,
        batch_norm_momentum: float | None = None,
        mirrored: bool | None = None,
        inference: Sequence[str] | str = (),
        compile: bool = False,
        loss: str | nn.Module = "focal",
    ) -> None:
        super().__init__()
        self.features = resolve_features(features)
        self.num_classes = num_classes
        self.location = location
        self.image_size = image_size
        self.mirrored = bool(mirrored)
        self._given: dict[str, Any] = {"model": model, "model_args": model_args, "loss": loss}
        # Lightning collects the arguments as they are here, or as a configuration gives them.
        model, loss = class_name(model), class_name(loss)
        self.save_hyperparameters(ignore=NOT_KEPT)
        check_hyperparameters(self.hparams)
        # Plain values alone, so that checkpoints load without unpickling code.
        self.save_hyperparameters(
            plain_hyperparameters(self.hparams, self.features, self._given["model"])
        )
        self.configure_models()
        self.configure_losses()
        self.configure_metrics()
        del self._given  # modules are the task's own now
        self._wants_compiling = compile
        self._quick_loss = self.training_loss
        self._losses = LossWatch()
        if initial_weights is not None:
            start_from(self, initial_weights)
        self.inference = Inference.parse(inference)
        # In a list they are no modules of the task, so that its checkpoints do not hold them.
        self._ensemble = [self._ensemble_member(path) for path in self.inference.checkpoints]
        #: What turns raw into calibrated confidence; it belongs to the weights and travels in the
        #: checkpoint with them. None where they were not calibrated.
        self.calibration: Calibration | None = None
        #: The checkpoint that the task was built from, where it was; maps tell it.
        self.checkpoints: tuple[str, ...] = ()
        #: What a test found of the confidence, for its report.
        self.test_calibration: dict[str, Any] | None = None

    def configure_models(self) -> None:
        """Build the model that was named, or take the module that was given."""
        model, arguments = self._given["model"], self._given["model_args"] or {}
        self.model = build_model(self.features, model, arguments, self.hparams)
        if self.hparams["batch_norm_momentum"] is not None:
            set_momentum(self.model, self.hparams["batch_norm_momentum"])

    def configure_losses(self) -> None:
        """Make the loss that was named, or take the module that was given."""
        options = self.hparams
        self.loss = build_loss(self._given["loss"], options["gamma"], options["label_smoothing"])

    def configure_metrics(self) -> None:
        """Make the metrics; those of ``val_metrics`` are logged by their names."""
        # Not a number stays so; torchmetrics' "disable" says the same, but forgets the weights.
        self.val_loss = MeanMetric(nan_strategy=float("nan"))
        self.val_metrics = MetricCollection({"iou": GlacierIoU(self.num_classes)}, prefix="val/")
        self.test_confusion = RegionConfusion()

    def sibling(self, path: str | Path) -> Self:
        """Build the task of another checkpoint; a module that was given lends its class to both."""
        name, model = self.hparams["model"], None
        if (
            not is_buildable(self.hparams)
            and read_checkpoint(path)["hyper_parameters"]["model"] == name
        ):
            model = copy.deepcopy(self.model)
        return type(self).from_checkpoint(path, model=model)

    def _ensemble_member(self, path: str) -> Self:
        member = self.sibling(path)
        check_ensemble(self, member, path)
        return member

    @classmethod
    def from_checkpoint(
        cls,
        path: str | Path,
        inference: Sequence[str] | str = (),
        model: nn.Module | None = None,
    ) -> Self:
        """Build the task of a checkpoint, on the CPU and in eval mode.

        Args:
            path: Checkpoint of Lightning's or of ``glavitu import-keras``.
            inference: What probabilities are the mean of, as in :class:`GlaViTUTask`.
            model: A module to take the weights. Needed where it is of others' classes, for no code
                is imported because a checkpoint names it, or was built of what is not known.

        Raises:
            InputError: If the file is missing, damaged or not a glavitu checkpoint, the module is
                needed, or the ensemble's checkpoints do not fit.
        """
        checkpoint = read_checkpoint(path)
        options = dict(checkpoint["hyper_parameters"])
        if model is None:
            check_buildable(options, str(path))
        else:
            options["model"] = model
        try:
            if model is None:
                cls._check_fit(options, checkpoint["state_dict"], str(path))
            task = cls(**options, inference=inference)
            task.load_state_dict(checkpoint["state_dict"])
        except InputError as error:
            told = str(error)  # which may be of another file, of an ensemble
            raise InputError(told if ".ckpt" in told else f"{path}: {told}") from error
        except (TypeError, RuntimeError, ValueError, AttributeError, LookupError) as error:
            raise InputError(f"{path}: {why_unloadable(checkpoint, model)} ({error})") from error
        task.calibration = read_calibration(checkpoint, task.inference, str(path))
        task.training_values = read_training_values(checkpoint, task.features)
        task.checkpoints = (str(path),)
        return task.eval()

    @classmethod
    def _check_fit(
        cls, options: Mapping[str, Any], weights: Mapping[str, Tensor], source: str
    ) -> None:
        """Check that weights fit the model that is described, before memory is taken for it."""
        try:
            with torch.device("meta"):
                planned = cls(**options)
        except (NotImplementedError, RuntimeError):
            return  # some encoders compute while they are built
        check_weights(weights, planned.state_dict(), source)

    @property
    def members(self) -> "tuple[GlaViTUTask, ...]":
        """The task itself, and the others of its ensemble."""
        return (self, *self._ensemble)

    def forward(self, image: Tensor, location: Tensor | None = None) -> Tensor:
        """Compute logits (B, classes, H, W) of images (B, C, H, W)."""
        logits: Tensor = self.model(*([image] if location is None else [image, location]))
        check_logits(logits, image, self.num_classes)
        return logits

    def predict_probabilities(self, image: Tensor, location: Tensor | None = None) -> Tensor:
        """Compute softmax probabilities of windows, the mean over what ``inference`` asks for.

        Args:
            image: (B, C, S, S), on the task's device.
            location: (B, L) where the model wants one.

        Returns:
            float32 (B, classes, S, S).
        """
        members = [member.to(self.device, self.dtype) for member in self.members]
        return self.inference.predict(members, image, location)

    def setup(self, stage: str) -> None:
        """Lay the weights out for speed, and compile the training if that is wanted.

        Raises:
            InputError: If the data module gives other images than the model was built for.
        """
        data = getattr(self.trainer, "datamodule", None)
        check_images(self.features, self.image_size, data, training=stage == "fit")
        device = self.trainer.strategy.root_device.type
        if device != "mps":  # convolutions are quicker where channels lie last
            self.model.to(memory_format=torch.channels_last)
        if stage == "fit" and not (self.training and self.model.training):
            self.train()  # a checkpoint's task is in eval mode, and Lightning leaves it there
        if stage == "fit" and self.hparams["mirrored"] is None:
            dataset = getattr(data, "train_dataset", None)
            self.mirrored = getattr(dataset, "padding", "land") == "unknown"
            self.hparams["mirrored"] = self.mirrored
        if stage == "fit" and self._wants_compiling and can_compile(device):
            self._quick_loss = torch.compile(self.training_loss, dynamic=False)

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> Tensor:
        """Compute the loss of a batch."""
        image, mask, location = batch["image"], batch["mask"], batch.get("location")
        if location is not None and len(image) < 2:
            raise InputError(
                "data.batch_size is 1, but the location encoding normalises over the batch; give 2 "
                "or more"
            )
        self._losses.check()
        if "." in self.hparams["loss"] and not (mask != UNKNOWN_CLASS).any():
            # A mean over no pixels is not a number in losses of others. All weights take part.
            loss = 0 * self._quick_loss(image, torch.zeros_like(mask), location)
        else:
            loss = self._quick_loss(image, mask, location)
        self._losses.note(self, batch_idx, loss)
        self.log("train/loss", loss, prog_bar=True, batch_size=len(image))
        return loss

    def on_train_epoch_end(self) -> None:
        """Look at the loss of the last step."""
        self._losses.check()

    def training_loss(self, image: Tensor, mask: Tensor, location: Tensor | None = None) -> Tensor:
        """Compute the loss that training lowers, made up as the model says where it says so.

        Args:
            image: (B, C, H, W).
            mask: int64 (B, H, W), class indices, 255 where they are unknown.
            location: (B, L) where the model wants one.

        Returns:
            Scalar float32.
        """
        made_up = getattr(self.model, "training_loss", None)
        if made_up is None:
            return torch.as_tensor(self.loss(self(image, location), mask))
        return torch.as_tensor(made_up(self.loss, image, mask, location))

    def on_train_start(self) -> None:
        """Forget the calibration of a resumed checkpoint: training changes the weights."""
        self.calibration = None

    def on_train_batch_start(self, batch: Mapping[str, Any], batch_idx: int) -> None:
        """Log the learning rate of the step."""
        self.log("train/lr", self.trainer.optimizers[0].param_groups[0]["lr"])

    def on_validation_epoch_start(self) -> None:
        """Start to count anew: here, since states made in another mode cannot be updated."""
        for metric in (self.val_metrics, self.val_loss):
            metric.set_dtype(torch.float32)  # `*-true` precisions change it, and sums need it
            metric.reset()

    def validation_step(self, batch: Mapping[str, Any], batch_idx: int) -> Tensor:
        """Count loss and IoU of windows, and return the predicted classes (B, H, W).

        With region encoding every window is seen twice, with its region and as unknown, as
        published; the prediction returned is that with the region.
        """
        image, mask, location = batch["image"], batch["mask"], batch.get("location")
        if not image.numel():  # a process without windows of its own
            return torch.as_tensor(mask)
        prediction = self._validate(image, mask, location)
        if self.location == "region":
            unknown = region_vector(UNKNOWN).to(image)
            self._validate(image, mask, unknown.expand(len(image), -1))
        return prediction

    def _validate(self, image: Tensor, mask: Tensor, location: Tensor | None) -> Tensor:
        logits = self(image, location)
        prediction = most_probable(logits)
        # Means over known pixels are weighed by these, so that no batch or process counts more.
        known = (mask != UNKNOWN_CLASS).sum()
        with counting_in_float32():
            self.val_metrics.update(prediction, mask)
            self.val_loss.update(torch.where(known > 0, self.loss(logits, mask), 0), known)
        return prediction

    def on_validation_epoch_end(self) -> None:
        """Log the windows' mean loss, and the mean glacier IoU of those that have a glacier."""
        # The metrics are those of all processes; Lightning wants to hear it.
        self.log("val/loss", self.val_loss.compute(), sync_dist=True)
        for name, value in self.val_metrics.compute().items():
            self.log(name, value, prog_bar=True, sync_dist=True)

    def on_test_epoch_start(self) -> None:
        """Start to count anew; the counts stay after the test for who wants them."""
        self.test_confusion.reset()

    def test_step(self, batch: Mapping[str, Any], batch_idx: int) -> Tensor | None:
        """Predict whole tiles by blended windows and count them per region.

        Returns:
            Class probabilities, float32 (B, classes, H, W) on the CPU, for callbacks; None in a
            process without tiles of its own.
        """
        if not batch["image"].numel():
            return None
        probabilities = self.predict_tiles(batch)
        prediction = most_probable(probabilities).to(batch["mask"].device)
        # Datasets of others do not tell the region.
        region = batch.get("region", torch.full((len(prediction),), UNKNOWN))
        self.test_confusion.update(prediction, batch["mask"], region)
        return probabilities

    def on_test_epoch_end(self) -> None:
        """Log the IoU of each region, their mean, and the IoU of all pixels together."""
        table = self.test_confusion.table()
        total = table[["tp", "fp", "fn"]].sum()
        union = float(total.sum())
        scores = dict(zip(table["region"], table["iou"].to_numpy(float), strict=True))
        scores["mean"] = float(table["iou"][in_mean(table["region"])].mean())
        # They are those of all processes already; Lightning wants to hear it.
        for name, iou in scores.items():
            self.log(f"test/iou_{name}", float(iou), sync_dist=True)
        pooled = float(total["tp"]) / union if union else float("nan")
        self.log("test/iou", pooled, sync_dist=True)

    def predict_step(self, batch: Mapping[str, Any], batch_idx: int) -> Tensor:
        """Return the class probabilities (B, classes, H, W) of whole tiles."""
        return self.predict_tiles(batch)

    def predict_tiles(self, batch: Mapping[str, Any]) -> Tensor:
        """Predict whole tiles by blended windows, as published: half-overlapping, Gaussian weights.

        Args:
            batch: ``image`` (B, C, H, W) of any size, and ``location`` (B, L) where the model
                wants one: a tile's own for all its windows.

        Returns:
            float32 (B, classes, H, W) on the CPU.
        """
        images, locations = batch["image"], batch.get("location")
        tiles = []
        for index, image in enumerate(images):
            place = None if locations is None else locations[index]

            def predict(windows: Tensor, place: Tensor | None = place) -> Tensor:
                vectors = None if place is None else place.expand(len(windows), -1)
                return self.predict_probabilities(windows, vectors)

            size = self.image_size
            tiles.append(
                predict_blended(
                    predict, image, size, size // 2, self.num_classes, mirrored=self.mirrored
                )
            )
        probabilities = torch.stack(tiles)
        if probabilities.isnan().any():
            raise InputError(
                "the model's probabilities are not numbers (NaN): its weights or the values of the "
                f"image are too large for {self.dtype}; use another checkpoint, or "
                "--trainer.precision 32-true"
            )
        return probabilities

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam, and cosine cycles from the learning rate to 0, stepped with each batch."""
        options = self.hparams
        optimiser = torch.optim.Adam(self.parameters(), lr=options["lr"], eps=ADAM_EPSILON)
        epochs, growth = options["cycle_epochs"], options["cycle_growth"]
        return cosine_cycles(optimiser, self.trainer, epochs, growth)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Note the version of glavitu, and the calibration as plain values.

        Raises:
            InputError: If weights are not numbers, so that no checkpoint ever is replaced by such.
        """
        self._losses.check()
        check_numbers(checkpoint["state_dict"], "the training")
        super().on_save_checkpoint(checkpoint)
        checkpoint["glavitu_version"] = __version__
        if self.calibration is not None:
            checkpoint["calibration"] = self.calibration.to_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of other data before its weights fail to fit."""
        trainer = self._trainer  # None where the task is loaded without one
        source = str((trainer and trainer.ckpt_path) or "the checkpoint")
        check_numbers(checkpoint["state_dict"], source)
        check_fit(checkpoint["hyper_parameters"], self.hparams, source)
        check_weights(checkpoint["state_dict"], self.state_dict(), source)
        if trainer is not None and trainer.state.fn == TrainerFn.FITTING:
            check_progress(checkpoint, source)
        super().on_load_checkpoint(checkpoint)
        self.calibration = read_calibration(checkpoint, self.inference, "the checkpoint")
