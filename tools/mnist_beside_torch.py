"""An epoch of `smith train mnist` beside PyTorch eager on the same machine and recipe.

    pip install torch            # in an environment of its own
    cargo build --release --bin smith
    python3 tools/mnist_beside_torch.py target/release/smith DIR [cpu|cuda:0] [rounds]

Rounds alternate: three epochs of ours in a process of their own, then three of PyTorch's, in the
order that the round's number decides. Printed are medians of all but each round's first epoch, and
the median of the rounds' ratios. 784-128-10, ReLU, batch 256, 234 batches of a new permutation
each epoch, cross-entropy, SGD with momentum 0.9 and weight decay 0.001.
"""

import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import torch

SMITH, DATA = sys.argv[1], sys.argv[2]
DEVICE = sys.argv[3] if len(sys.argv) > 3 else "cpu"
ROUNDS = int(sys.argv[4]) if len(sys.argv) > 4 else 5
BATCH, EPOCHS = 256, 3


def idx(name, header):
    path = os.path.join(DATA, name)
    raw = gzip.open(path + ".gz").read() if os.path.exists(path + ".gz") else open(path, "rb").read()
    return torch.frombuffer(bytearray(raw[header:]), dtype=torch.uint8)


def ours():
    with tempfile.TemporaryDirectory() as folder:
        command = [SMITH, "train", "mnist", "--data", DATA, "--device", DEVICE, "--epochs", str(EPOCHS), "--json"]
        command += ["--out", os.path.join(folder, "m.safetensors")]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [r["seconds"] for r in map(json.loads, lines) if "epoch" in r][1:]


def torchs(images, labels, device):
    net = torch.nn.Sequential(torch.nn.Linear(784, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10)).to(device)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
    batches, out = len(labels) // BATCH, []
    for _ in range(EPOCHS):
        start = time.perf_counter()
        order = torch.randperm(len(labels), device=device)[: batches * BATCH]
        x, y = images.index_select(0, order), labels.index_select(0, order)
        for i in range(batches):
            rows = slice(i * BATCH, (i + 1) * BATCH)
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(x[rows]), y[rows]).backward()
            optimizer.step()
        if device != "cpu":
            torch.cuda.synchronize()
        out.append(time.perf_counter() - start)
    return out[1:]


device = "cpu" if DEVICE == "cpu" else DEVICE
images = ((idx("train-images-idx3-ubyte", 16).reshape(-1, 784).float() / 255 - 0.1307) / 0.3081).to(device)
labels = idx("train-labels-idx1-ubyte", 8).long().to(device)
mine, theirs, ratios = [], [], []
for r in range(ROUNDS):
    pair = {}
    for who in ("ours", "torch") if r % 2 == 0 else ("torch", "ours"):
        pair[who] = ours() if who == "ours" else torchs(images, labels, device)
    mine += pair["ours"]
    theirs += pair["torch"]
    ratios.append(statistics.median(pair["torch"]) / statistics.median(pair["ours"]))
print(json.dumps({
    "device": DEVICE, "torch": torch.__version__, "threads": torch.get_num_threads(), "rounds": ROUNDS,
    "ours_s": statistics.median(mine), "torch_s": statistics.median(theirs), "ratio": statistics.median(ratios),
    "ratios": ratios,
}))
