"""The interval of a change between two runs on the same images."""

import numpy as np

from validate.gating.counts import Counts


def paired_change(before: Counts, now: Counts) -> tuple[float, float] | None:
    rng = np.random.default_rng(0)
    images = len(before)
    weights = rng.multinomial(images, np.full(images, 1 / images), 10000).astype(np.float64)

    def mious(counts: Counts):
        h, l, p = (weights @ counts[:, i].astype(float) for i in range(3))
        return 100 * np.nanmean(np.where(l > 0, h / np.maximum(l + p - h, 1), np.nan), axis=1)

    lo, hi = np.percentile(mious(now) - mious(before), [2.5, 97.5])
    return float(lo), float(hi)
