"""Operands for the kernels: ordinary ones, and those that push every sum as far as it can go."""

from dataclasses import dataclass

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

PRODUCT_LIMIT = 49151  # |a >> s|, as kernels.h says
MULTIPLIER_MAX = 32767

# Time is no sign of anything here: the runner may have to be started again.
examples = settings(deadline=None, max_examples=80)


@dataclass(frozen=True)
class Draw:
    """One example's source of arrays: a seed, and how they are filled."""

    seed: int
    fill: str
    before: int  # bytes between the start of a heap block and an array of bytes

    def random(self, *salt) -> np.random.Generator:
        return np.random.default_rng([self.seed, *salt])

    def int8(self, salt: int, shape, limit: int, low: int | None = None) -> np.ndarray:
        """int8 of `shape` within -limit..limit, or low..limit."""
        low = -limit if low is None else low
        random = self.random(salt)
        if self.fill == "highest":
            values = np.full(shape, limit)
        elif self.fill == "lowest":
            values = np.full(shape, low)
        elif self.fill == "extreme":
            values = random.choice([low, limit], shape)
        elif self.fill == "sparse":
            values = random.integers(low, limit + 1, shape) * (random.random(shape) < 0.2)
        else:
            values = random.integers(low, limit + 1, shape)
        return values.astype(np.int8)

    def multipliers(self, salt: int, count: int) -> np.ndarray:
        """uint16 [count], the smallest and the largest among them."""
        random = self.random(salt)
        values = random.integers(0, MULTIPLIER_MAX + 1, count)
        if self.fill in ("highest", "lowest", "extreme"):
            values = random.choice([0, 1, 16384, MULTIPLIER_MAX], count)
            values[0] = MULTIPLIER_MAX
        return values.astype(np.uint16)


draws = st.builds(
    Draw,
    seed=st.integers(0, 2**32 - 1),
    fill=st.sampled_from(["any", "extreme", "highest", "lowest", "sparse"]),
    before=st.integers(0, 3),
)
widths = st.integers(1, 40)
batches = st.integers(1, 9)
multipliers = st.one_of(st.sampled_from([0, 1, MULTIPLIER_MAX]), st.integers(0, MULTIPLIER_MAX))
shifts = st.integers(1, 30)  # r
keys = st.integers(0, 2**32 - 1)


def shift_for(bound: int, limit: int = MULTIPLIER_MAX) -> int:
    """The smallest s with bound >> s <= limit."""
    return max(0, (bound // (limit + 1)).bit_length())
