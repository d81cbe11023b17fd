"""Eight clips for one: a scene turned by quarter turns and seen in a mirror, without hearing or encoding it again.

Turning scene and camera together by 90 degrees leaves the picture as it is and exchanges channels: Y takes X, X takes
-Y. A mirror exchanges left and right of the picture and turns Y into -Y. So each channel of each variant is one of six
signals, W, Y, -Y, Z, X, -X. A codec that takes channels one by one encodes these six once; the toy codec, whose signs
are relative to W, flips a bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from visage_lite.toy_codec import mirror_codes, rotate_codes

SIGNALS = ("W", "Y", "-Y", "Z", "X", "-X")
_OF_FOA = ((0, 1), (1, 1), (1, -1), (2, 1), (3, 1), (3, -1))  # channel and sign of each signal


@dataclass(frozen=True)
class Variant:
    """First mirrored or not, then turned anticlockwise (front goes left). Notebook: 03_features."""

    quarter_turns: int = 0  # 0 to 3
    mirrored: bool = False

    @property
    def rows(self) -> list[int]:
        """Which of SIGNALS are W, Y, Z and X of the variant."""
        left, front = ("-Y" if self.mirrored else "Y"), "X"
        for _ in range(self.quarter_turns % 4):
            left, front = front, left.removeprefix("-") if left.startswith("-") else f"-{left}"
        return [SIGNALS.index(name) for name in ("W", left, "Z", front)]

    def foa(self, foa: np.ndarray) -> np.ndarray:
        """The sound field [4, N] of the variant, from that of the scene."""
        return six_signals(foa)[self.rows]

    def codes(self, codes: np.ndarray) -> np.ndarray:
        """The codes [4, K, T] of the variant.

        Args: codes: [6, K, T] of `six_signals`, or [4, K, T] of the toy codec.
        Raises: ValueError on another number of channels.
        """
        if len(codes) == len(SIGNALS):
            return codes[self.rows]
        if len(codes) != 4:
            raise ValueError(f"codes must be [6, K, T] of the six signals or [4, K, T], not {list(codes.shape)}")
        return rotate_codes(mirror_codes(codes) if self.mirrored else codes, self.quarter_turns)

    def direction(self, direction: np.ndarray) -> np.ndarray:
        """The camera's direction (right, down, front) [3] of the variant."""
        right, down, front = direction
        right = -right if self.mirrored else right
        for _ in range(self.quarter_turns % 4):
            right, front = -front, right
        return np.array([right, down, front], dtype=np.float32)


VARIANTS = tuple(Variant(turns, mirrored) for mirrored in (False, True) for turns in range(4))


def six_signals(foa: np.ndarray) -> np.ndarray:
    """W, Y, -Y, Z, X, -X of a sound field [4, N]: [6, N].

    Differs: the released code encodes eight signals for two variants. Notebook: 03_features.
    """
    channels, signs = np.transpose(_OF_FOA)
    return foa[channels] * signs[:, None].astype(foa.dtype)
