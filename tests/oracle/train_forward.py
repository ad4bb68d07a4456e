# SPDX-License-Identifier: Apache-2.0
"""Encoder, projector and predictor against torchvision's ResNets in double precision.

The same weights and images go through oracle_net and through PyTorch, one forward per view;
outputs, running statistics and the gradient of every parameter are compared.
"""
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import torch
    import torchvision
except ImportError as e:
    print(f"no {e.name}: install python3-torch and python3-torchvision")
    sys.exit(77)

from lib.programs import program

TOOL = program("net")


def head(params, name):
    """Linear, BN, ReLU, Linear with the widths of the given parameters."""
    hidden, inputs = params[f"{name}.fc1.weight"][2]
    out = params[f"{name}.fc2.weight"][2][0]
    m = torch.nn.Module()
    m.fc1 = torch.nn.Linear(inputs, hidden)
    m.bn1 = torch.nn.BatchNorm1d(hidden)
    m.fc2 = torch.nn.Linear(hidden, out, bias=False)
    m.forward = lambda x: m.fc2(torch.relu(m.bn1(m.fc1(x))))
    return m


def build(params, arch, stem):
    model = torch.nn.Module()
    model.encoder = getattr(torchvision.models, arch)()
    if stem == "cifar":
        model.encoder.conv1 = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        model.encoder.maxpool = torch.nn.Identity()
    model.encoder.fc = torch.nn.Identity()
    model.projector = head(params, "projector")
    model.predictor = head(params, "predictor")
    return model.double()


def read_tables(d):
    params, bns = {}, {}
    for line in open(f"{d}/params.txt"):
        f = line.split()
        params[f[0]] = (int(f[1]), int(f[2]), [int(x) for x in f[3:]])
    for line in open(f"{d}/bns.txt"):
        f = line.split()
        bns[f[0]] = [int(x) for x in f[1:]]
    return params, bns


def as_torch(flat, entry):
    """One parameter out of a flat buffer, KRSC to OIHW."""
    offset, count, shape = entry
    v = torch.from_numpy(flat[offset:offset + count].astype(np.float64))
    if len(shape) == 4:
        o, i, h, w = shape
        return v.reshape(o, h, w, i).permute(0, 3, 1, 2).contiguous()
    return v.reshape(shape)


def load(model, params, values):
    """Every tensor of the model must have its counterpart, by name and shape."""
    state = {k: v for k, v in model.state_dict().items()
             if not k.endswith(("running_mean", "running_var", "num_batches_tracked"))}
    assert set(state) == set(params), set(state) ^ set(params)
    missing = model.load_state_dict({k: as_torch(values, params[k]) for k in params}, strict=False)
    assert not missing.unexpected_keys


def distance(a, b):
    return float((a - b).norm() / b.norm())


def cosine(a, b):
    return float((a * b).sum() / (a.norm() * b.norm()))


def compare(backend, precision, arch, stem, images, groups, size):
    d = tempfile.mkdtemp(dir=".")
    subprocess.run([TOOL, d, backend, precision, arch, stem, str(images), str(groups), str(size)],
                   check=True)
    params, bns = read_tables(d)
    raw = {k: np.fromfile(f"{d}/{k}", np.float32) for k in ("values", "state", "out", "dout", "grads")}
    x = torch.from_numpy(np.fromfile(f"{d}/images", np.uint8).astype(np.float64))
    x = x.reshape(groups, images, size, size, 3) / 255
    x = (x - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    x = x.permute(0, 1, 4, 2, 3)
    truth = run_torch(build(params, arch, stem), params, raw, x)
    ours = {"out": torch.from_numpy(raw["out"].astype(np.float64)).reshape(truth["out"].shape)}
    for name, (mean, var, n) in bns.items():
        for at, what in ((mean, "running_mean"), (var, "running_var")):
            ours[f"{name}.{what}"] = torch.from_numpy(raw["state"][at:at + n].astype(np.float64))
    for name in params:
        ours[f"grad.{name}"] = as_torch(raw["grads"], params[name])
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        peer = run_torch(build(params, arch, stem).float(), params, raw, x.float())
    print(f"{backend} {precision} {arch} {stem} {groups} x {images} x {size}")
    mine = summary("ours", ours, truth)
    return mine, summary(f"torch {precision}", peer, truth)


def run_torch(model, params, raw, x):
    """Every number of one forward and backward, views one after the other."""
    load(model, params, raw["values"])
    model.train()
    out = torch.cat([model.predictor(model.projector(model.encoder(v))) for v in x])
    dout = torch.from_numpy(raw["dout"]).to(x.dtype).reshape(out.shape)
    (out.to(x.dtype) * dout).sum().backward()
    result = {"out": out.detach()}
    result.update({k: v for k, v in model.named_buffers() if "running" in k})
    result.update({f"grad.{k}": p.grad for k, p in model.named_parameters()})
    return {k: v.double() for k, v in result.items()}


def summary(who, got, truth):
    """Distances of the output, the worst running statistic, the worst gradient; least cosine."""
    assert set(got) == set(truth), set(got) ^ set(truth)
    # A bias in front of BatchNorm has no gradient but rounding.
    grads = [k for k in truth if k.startswith("grad.") and not k.endswith("fc1.bias")]
    far = {k: distance(got[k], truth[k]) for k in truth}
    state = max((k for k in truth if "running" in k), key=far.get)
    grad = max(grads, key=far.get)
    cos = min(grads, key=lambda k: cosine(got[k], truth[k]))
    print(f"  {who:10}: output {far['out']:.1e}, {state} {far[state]:.1e}, {grad} {far[grad]:.1e}, "
          f"cosine {cos} {cosine(got[cos], truth[cos]):.5f}", flush=True)
    return far["out"], far[state], far[grad], cosine(got[cos], truth[cos])


def main():
    has_cpu = subprocess.run([TOOL, ".", "cpu", "f32", "resnet18", "cifar", "2", "1", "8"],
                             capture_output=True).returncode == 0
    has_bf16 = subprocess.run([TOOL, ".", "cpu", "bf16", "resnet18", "cifar", "2", "1", "8"],
                              capture_output=True).returncode == 0
    best = "cpu" if has_cpu else "ref"
    cases = [("ref", "resnet18", "cifar", 6, 8), (best, "resnet18", "cifar", 12, 16),
             (best, "resnet50", "imagenet", 8, 64)]
    for backend, arch, stem, images, size in cases:
        ours, theirs = compare(backend, "f32", arch, stem, images, 2, size)
        for mine, floor in zip(ours[:3], theirs[:3]):
            # Rounding flips a few ReLUs; PyTorch's own f32 shows how much that is here.
            assert mine <= max(1e-4, 5 * floor), (mine, floor)
        assert ours[2] < 0.1 and ours[3] > 0.999
    if has_bf16:
        ours, theirs = compare("cpu", "bf16", "resnet18", "cifar", 32, 2, 16)
        assert ours[0] < 2 * theirs[0] and ours[1] < 2e-2 and ours[3] > theirs[3] - 0.05


main()
