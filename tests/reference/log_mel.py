"""Makes log_mel.json: log-mel spectrograms of a small sound, by numpy and scipy alone.

Run: python tests/reference/log_mel.py > tests/reference/log_mel.json
Written from the formula in src/data/features/log_mel.rs, not from its code.
"""

import json

import numpy as np
from scipy.signal import get_window


def mel_filters(rate, window, mels, low, high):
    to_mel = lambda f: 2595 * np.log10(1 + f / 700)
    edges = 700 * (10 ** (np.linspace(to_mel(low), to_mel(high), mels + 2) / 2595) - 1)
    bins = np.arange(window // 2 + 1) * rate / window
    return np.stack([np.interp(bins, edges[m : m + 3], [0, 1, 0]) for m in range(mels)])


def log_mel(sound, rate, window, hop, mels, low, high, frames, floor, normalise):
    sound = np.concatenate([sound, np.zeros(frames * hop + window)])
    hann = get_window("hann", window, fftbins=True)
    pieces = np.stack([sound[t * hop : t * hop + window] * hann for t in range(frames)])
    power = np.abs(np.fft.rfft(pieces, axis=1)) ** 2
    out = np.log(mel_filters(rate, window, mels, low, high) @ power.T + floor)
    return (out - out.mean()) / out.std() if normalise else out


def main():
    random = np.random.default_rng(1)
    n = np.arange(900)
    tone = 0.4 * np.sin(2 * np.pi * 440 * n / 8000) + 0.2 * np.sin(2 * np.pi * (700 + n) * n / 8000)
    sound = np.round(32767 * (tone * np.exp(-n / 500) + 0.01 * random.standard_normal(900)))
    cases = []
    for settings in [
        dict(rate=8000, window=256, hop=128, mels=40, low=40.0, high=4000.0, frames=9,
             floor=1e-6, normalise=True),
        dict(rate=16000, window=401, hop=160, mels=23, low=0.0, high=7600.0, frames=4,
             floor=1e-3, normalise=False),
        dict(rate=44100, window=1411, hop=705, mels=12, low=40.0, high=8000.0, frames=2,
             floor=1e-6, normalise=True),
    ]:
        expected = log_mel(sound / 32768, **settings).ravel()
        cases.append(dict(settings=settings, sound=[int(v) for v in sound],
                          expected=[round(float(v), 6) for v in expected]))
    print(json.dumps(cases))


main()
