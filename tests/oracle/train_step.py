# SPDX-License-Identifier: Apache-2.0
"""One whole RELICv2 step against PyTorch: same weights, views and negatives; loss, every
gradient, every updated weight, momentum, target and BatchNorm statistic within 1e-4 (relative
to the largest value of the tensor). Written from the method's definition with autograd; shares
no code with the trainer."""

import json
import subprocess
import sys

try:
    import numpy as np
    import torch
    import torch.nn as nn
    import torch.nn.functional as F
except ImportError as e:
    print(f"needs numpy and torch: {e}")
    sys.exit(77)

from lib.programs import program
from lib.safetensors_reader import read_safetensors

DRIVER = program("step")
L, S, B, SIZE, SMALL, NEG = 2, 1, 8, 16, 8, 4
ALPHA, BETA, TAU = 0.3, 5.0, 0.2
DECAY, TRUST, MU = 1e-2, 1e-2, 0.9
TOLERANCE = 1e-4


class Block(nn.Module):
    def __init__(self, cin, cout, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)
        self.downsample = None
        if stride != 1 or cin != cout:
            self.downsample = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False),
                                            nn.BatchNorm2d(cout))

    def forward(self, x):
        skip = x if self.downsample is None else self.downsample(x)
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + skip)


class Encoder(nn.Module):
    def __init__(self, w):
        super().__init__()
        self.conv1 = nn.Conv2d(3, w, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(w)
        self.layer1 = nn.Sequential(Block(w, w, 1), Block(w, w, 1))
        self.layer2 = nn.Sequential(Block(w, 2 * w, 2), Block(2 * w, 2 * w, 1))
        self.layer3 = nn.Sequential(Block(2 * w, 4 * w, 2), Block(4 * w, 4 * w, 1))
        self.layer4 = nn.Sequential(Block(4 * w, 8 * w, 2), Block(8 * w, 8 * w, 1))

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return x.mean((2, 3))


class Head(nn.Module):
    def __init__(self, cin, hidden, cout):
        super().__init__()
        self.fc1 = nn.Linear(cin, hidden)
        self.bn1 = nn.BatchNorm1d(hidden)
        self.fc2 = nn.Linear(hidden, cout, bias=False)

    def forward(self, x):
        return self.fc2(F.relu(self.bn1(self.fc1(x))))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = Encoder(8)
        self.projector = Head(64, 24, 16)
        self.predictor = Head(16, 32, 16)


def views(path, count, size):
    raw = np.fromfile(path, dtype=np.uint8).reshape(count, B, size, size, 3)
    x = torch.from_numpy(raw.astype(np.float32) / 255).permute(0, 1, 4, 2, 3)
    mean = torch.tensor([.485, .456, .406]).view(3, 1, 1)
    std = torch.tensor([.229, .224, .225]).view(3, 1, 1)
    return (x - mean) / std


def norm(x):
    return x * torch.rsqrt(torch.clamp((x * x).sum(-1, keepdim=True), min=1e-12))


def relic_loss(online, target, negatives):
    total, con_sum, inv_sum = 0, 0, 0
    for a, o in enumerate(online):
        for b, t in enumerate(target):
            idx = torch.cat([torch.arange(B)[:, None], negatives[a * L + b]], 1)
            n_o, n_t = norm(o), norm(t).detach()
            lp = ((n_o[:, None] * n_t[idx]).sum(-1) / TAU).log_softmax(1)
            lq = ((n_t[:, None] * n_o[idx]).sum(-1) / TAU).log_softmax(1)
            p = lp.exp()
            con = -lp[:, 0].mean()
            inv = ((p * lp).sum(1).detach() - (p * lq).sum(1)).mean()
            total, con_sum, inv_sum = total + ALPHA * con + BETA * inv, con_sum + con, inv_sum + inv
    pairs = (L + S) * L
    return total / pairs, con_sum / pairs, inv_sum / pairs


failures = []


def compare(what, got, want):
    scale = max(want.abs().max().item(), 1e-6)
    error = (got - want).abs().max().item() / scale
    compare.worst = max(compare.worst, error)
    if not error <= TOLERANCE:
        failures.append(f"{what}: relative error {error:.3g}")


compare.worst = 0.0


def check(backend):
    done = subprocess.run([DRIVER, backend], capture_output=True, text=True)
    if done.returncode != 0:
        print(f"{backend}: {done.stderr.strip()}")
        return False
    said = json.loads(done.stdout)
    before, after = read_safetensors("before.safetensors"), read_safetensors("after.safetensors")
    grads = read_safetensors("grads.safetensors")
    negatives = torch.from_numpy(np.fromfile("negatives.i32", dtype=np.int32).astype(np.int64))
    negatives = negatives.view((L + S) * L, B, NEG)

    net, target = Net().train(), Net().train()
    net.load_state_dict({k: v for k, v in before.items()
                         if not k.startswith(("target.", "opt."))})
    target.load_state_dict({k[7:]: v for k, v in before.items() if k.startswith("target.")})
    momentum = {k[13:]: v for k, v in before.items() if k.startswith("opt.momentum.")}

    large, small = views("large.u8", L, SIZE), views("small.u8", S, SMALL)
    with torch.no_grad():
        t = [target.projector(target.encoder(v)) for v in large]
    o = [net.predictor(net.projector(net.encoder(v))) for v in [*large, *small]]
    loss, con, inv = relic_loss(o, t, negatives)
    loss.backward()
    for name, value in (("loss", loss), ("contrastive", con), ("invariance", inv)):
        compare(name, torch.tensor(said[name]), value.detach())

    with torch.no_grad():
        targets = dict(target.named_parameters())
        for name, p in net.named_parameters():
            if name.endswith("fc1.bias"):
                # BatchNorm takes the mean away again: the gradient is rounding around zero.
                if max(grads[name].abs().max(), p.grad.abs().max()) > 1e-5:
                    failures.append("gradient of " + name + " is not near zero")
                continue
            compare("gradient of " + name, grads[name], p.grad)
            adapt = p.ndim > 1
            u = p.grad + (DECAY * p if adapt else 0)
            if adapt and p.norm() > 0 and u.norm() > 0:
                u = TRUST * p.norm() / u.norm() * u
            m = MU * momentum[name] + u
            p -= said["lr"] * m
            compare("momentum of " + name, after["opt.momentum." + name], m)
            compare("weight " + name, after[name], p)
            xi = targets[name]
            xi += (1 - said["ema"]) * (p - xi)
            compare("target " + name, after["target." + name], xi)
    for prefix, module in (("", net), ("target.", target)):
        for name, x in module.named_buffers():
            if prefix and name.startswith("predictor"):
                continue  # the target's predictor is never run
            compare("state " + prefix + name, after[prefix + name].float(), x.float())
    print(f"{backend}: largest relative error {compare.worst:.2g} over {len(grads)} parameters")
    return True


torch.manual_seed(0)
ran = [check(b) for b in ("ref", "cpu")]  # cpu may be absent
for f in failures:
    print(f)
sys.exit(1 if failures or not ran[0] else 0)
