# SPDX-License-Identifier: Apache-2.0
"""An exported ResNet-50 loads in torchvision with nothing missing but fc, and the network it
then is gives the features that rq-eval's kNN sees: finite, and different between the images."""

import os
import subprocess
import sys

try:
    import numpy as np
    import torch
    import torchvision
    from PIL import Image
except ImportError as e:
    print(f"needs numpy, torch, torchvision and PIL: {e}")
    sys.exit(77)

from lib.safetensors_reader import read_safetensors


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        print(" ".join(command), "->", done.returncode, done.stderr)
        sys.exit(1)
    return done.stdout


# A small dataset of noise, two steps of training.
rng = np.random.default_rng(1)
for k in range(8):
    os.makedirs(f"images/c{k % 2}", exist_ok=True)
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(
        f"images/c{k % 2}/{k}.png")
run("rq-pack", "build", "images", "-o", "data", "--encode", "ppm")
run("rq-train", "run", "--data", "data", "--out", "run", "--arch", "resnet50", "--batch", "4",
    "--negatives", "3", "--large", "1", "--small", "0", "--large-size", "64", "--proj-hidden",
    "32", "--proj-out", "16", "--pred-hidden", "32", "--steps", "2", "--warmup-epochs", "0",
    "--p-mask", "0", "--threads", "2")
for net in ("online", "target"):
    out = f"{net}.safetensors"
    run("rq-train", "export", "--run", "run", "-o", out, "--net", net)
    model = torchvision.models.resnet50()
    answer = model.load_state_dict(read_safetensors(out), strict=False)
    if sorted(answer.missing_keys) != ["fc.bias", "fc.weight"] or answer.unexpected_keys:
        print(net, answer)
        sys.exit(1)
    model.fc = torch.nn.Identity()
    with torch.no_grad():
        features = model.eval()(torch.randn(4, 3, 64, 64))
    if not torch.isfinite(features).all() or features.std(0).max() == 0:
        print(net, "features are not usable")
        sys.exit(1)
print("missing only fc.*, nothing unexpected, online and target")
