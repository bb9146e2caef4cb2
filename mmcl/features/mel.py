"""VGGish's log-mel spectrogram, exactly (Hershey et al., ICASSP 2017; AudioSet's released code).

Windows of 25 ms every 10 ms (periodic Hann), magnitudes of a 512-point spectrum, 64 triangular bands
that are triangles on the mel scale from 125 to 7500 Hz, log(x + 0.01).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

HZ, WINDOW, HOP, N_FFT, N_MEL = 16_000, 400, 160, 512, 64
LOW_HZ, HIGH_HZ, OFFSET = 125.0, 7500.0, 0.01


def hz_to_mel(hz: Tensor) -> Tensor:
    """Frequencies [Hz] on the mel scale."""
    return 1127.0 * torch.log1p(hz / 700.0)


def mel_bands() -> Tensor:
    """``(257, 64)``: weight of each spectrum bin in each band; the bin at 0 Hz has none."""
    bins = hz_to_mel(torch.linspace(0, HZ / 2, N_FFT // 2 + 1, dtype=torch.float64))
    edges = hz_to_mel(torch.tensor([LOW_HZ, HIGH_HZ], dtype=torch.float64))
    edges = torch.linspace(float(edges[0]), float(edges[1]), N_MEL + 2, dtype=torch.float64)
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    rise = (bins[:, None] - low) / (centre - low)
    fall = (high - bins[:, None]) / (high - centre)
    weight = torch.minimum(rise, fall).clamp(min=0)
    weight[0] = 0
    return weight


def n_frames(n_samples: int) -> int:
    """Whole windows in so many samples."""
    return max((n_samples - WINDOW) // HOP + 1, 0)


def log_mel(sound: Tensor) -> Tensor:
    """``(..., sample)`` at 16 kHz in [-1, 1] -> ``(..., frame, 64)``, whole windows only."""
    at = torch.arange(WINDOW, dtype=torch.float64, device=sound.device)
    hann = (0.5 - 0.5 * torch.cos(2 * math.pi / WINDOW * at)).to(sound.dtype)
    spectrum = torch.fft.rfft(sound.unfold(-1, WINDOW, HOP) * hann, N_FFT).abs()
    return torch.log(spectrum @ mel_bands().to(sound) + OFFSET)
