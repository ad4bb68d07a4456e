"""A safetensors reader of the tests' own: length, JSON header, raw data."""
import json

import numpy as np
import torch


def read_safetensors(path):
    with open(path, "rb") as f:
        data = f.read()
    n = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + n])
    header.pop("__metadata__", None)
    types = {"F32": np.float32, "I64": np.int64}
    out = {}
    for name, t in header.items():
        a, b = t["data_offsets"]
        array = np.frombuffer(data[8 + n + a:8 + n + b], dtype=types[t["dtype"]])
        out[name] = torch.from_numpy(array.reshape(t["shape"]).copy())
    return out
