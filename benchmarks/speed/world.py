"""What mapping all glaciers of the world once would take, on paper.

The Randolph Glacier Inventory 7.0 (doi 10.5067/f6jmovy5navz) counts 274,531 glaciers of 706,744
km2. Their sizes are taken to follow a power law between its smallest glacier, 0.01 km2, and 5,000
km2, with the exponent that gives their mean; each is a square with a margin around it, mapped alone
at 10 m. Neighbours share windows in truth, so that all is an upper bound. Seconds of a window,
what a map adds to them on the CPU and bytes are measured, see model_speed.py and scene_speed.py:

    python -m benchmarks.speed.world
"""

import argparse
import math

from benchmarks.speed import measuring

GLACIERS, AREA_KM2 = 274_531, 706_744.0
SMALLEST_KM2, LARGEST_KM2 = 0.01, 5000.0
PIXEL_KM, WINDOW = 0.01, 384
#: Six bands of 2 bytes at 10 m, and elevation of 4 bytes at 30 m.
BYTES_READ = 6 * 2 + 4 / 9
#: Operations of a window, and of a GPU a second at 45 % of an H200's bfloat16 matrix products: the
#: aim of model_speed.py, assumed where no GPU was measured.
WINDOW_FLOPS, ASSUMED_FLOPS = 239e9, 0.45 * 790e12


def mean_root(exponent: float) -> tuple[float, float]:
    """Mean of the area and of its square root, km2 and km, for a density of area^-exponent."""

    def moment(power: float) -> float:
        order = power - exponent + 1
        if abs(order) < 1e-9:
            return math.log(LARGEST_KM2 / SMALLEST_KM2)
        return (LARGEST_KM2**order - SMALLEST_KM2**order) / order

    return moment(1) / moment(0), moment(0.5) / moment(0)


def exponent_of_world() -> float:
    """The exponent that gives the glaciers' mean area, by bisection."""
    low, high = 1.01, 3.0
    for _ in range(100):
        middle = (low + high) / 2
        larger = mean_root(middle)[0] > AREA_KM2 / GLACIERS
        low, high = (middle, high) if larger else (low, middle)
    return low


def estimate(overlap: float, margin_km: float) -> dict[str, float]:
    """Windows, pixels read and pixels written for all glaciers."""
    mean, root = mean_root(exponent_of_world())
    stride = (1 - overlap) * WINDOW * PIXEL_KM

    def squares(added_km: float) -> float:
        # Mean of (side + added)^2 over glaciers, the side being the root of the area.
        return GLACIERS * (mean + 2 * root * added_km + added_km**2)

    return {
        # A square of side s meets (s / stride + 1)^2 cells of a grid on the average.
        "windows": squares(2 * margin_km + stride) / stride**2,
        "windows_of_ice_alone": AREA_KM2 / stride**2,
        "pixels_read": squares(2 * margin_km + WINDOW * PIXEL_KM) / PIXEL_KM**2,
        "pixels_written": squares(2 * margin_km) / PIXEL_KM**2,
    }


def main() -> None:
    """Estimate from what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--margin", type=float, default=1.0, help="km around glaciers (default: 1)")
    options = parser.parse_args()
    scene = measuring.load("scene_speed")["figures"]
    overhead = scene["model"]["wall_by_windows_of_bare_model"]
    written = scene["files"]["bytes_written_a_pixel"]
    figures: dict = {"exponent": exponent_of_world(), "margin_km": options.margin}
    for overlap in (0.5, 0.25):
        told = estimate(overlap, options.margin)
        told["read_tb"] = told["pixels_read"] * BYTES_READ / 1e12
        told["gpu_hours_assumed"] = told["windows"] * WINDOW_FLOPS / ASSUMED_FLOPS / 3600
        told["stored_tb"] = told["pixels_written"] * written / 1e12
        for device in ("cpu", "cuda"):
            speed = measuring.load("model_speed", device).get("figures", {})
            batches = [case for name, case in speed.items() if name.startswith("inference")]
            if batches:
                # Scenes of single glaciers have too few windows for compiled graphs.
                seconds = min(case["folded, channels last"]["seconds_a_patch"] for case in batches)
                told[f"{device}_hours"] = told["windows"] * seconds * overhead / 3600
        figures[f"{overlap:.0%} overlap"] = told
    measuring.save("world", figures)


if __name__ == "__main__":
    main()
