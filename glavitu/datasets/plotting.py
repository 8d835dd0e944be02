"""Pictures of samples."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from glavitu.pictures import MASK_COLOURS, as_text, composite_of, shown_mask, stretched


def plot_sample(
    sample: Mapping[str, Any],
    bands: Sequence[str],
    show_titles: bool = True,
    suptitle: str | None = None,
) -> Figure:
    """Plot image, mask and prediction of a sample side by side.

    Args:
        sample: ``image`` (C, H, W), and where present ``mask`` and ``prediction`` (H, W).
        bands: Names of the image's channels.
        show_titles: Put a title on each panel.
        suptitle: Title of the figure.

    Returns:
        The figure.
    """
    channels = composite_of(bands)
    image = sample["image"].detach().cpu().float().numpy()[channels]
    names = " / ".join(bands[channel] for channel in channels)
    panels: list[tuple[str, Any]] = [(names, stretched(image))]
    panels += [
        (key, shown_mask(sample[key].cpu().numpy()))
        for key in ("mask", "prediction")
        if key in sample
    ]
    figure = Figure(figsize=(4 * len(panels), 4.4), dpi=100, layout="constrained")
    all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (title, picture) in zip(all_axes, panels, strict=True):
        # Colours and limits are for classes; a picture in RGBA takes no notice of them.
        axes.imshow(picture, interpolation="nearest", cmap=MASK_COLOURS, vmin=0, vmax=1)
        axes.set_axis_off()
        if show_titles:
            axes.set_title(as_text(title))
    if suptitle is not None:
        figure.suptitle(as_text(suptitle))
    return figure
