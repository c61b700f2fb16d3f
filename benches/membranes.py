"""Neuron membranes in real electron micrographs: `python benches/membranes.py FOLDER [--only unet --seeds 0 --steps 1500]`.

FOLDER holds `images/00.png` to `29.png` and `labels/` likewise (black membranes), as the ISBI 2012 challenge has them; they are not
part of this package. Trained on 00-19, judged on 20-29, which nothing is chosen by. Every method gives a membrane probability a pixel
and is judged alike:

- IoU of the membranes at one half;
- adapted Rand error of the cells, as connected components of what is below one half;
- the same after a watershed, whose markers are where the blurred probability is below a tenth: gaps in a membrane stay closed.

The U-Net and its twin in PyTorch start from the same weights and see the same batches.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

from _harness import RESULTS, fair_environment, machine, report

fair_environment()

import numpy as np  # noqa: E402
from _peers import take_weights, torch_unet  # noqa: E402

import neurenix as nx  # noqa: E402
from neurenix import data as nxd  # noqa: E402
from neurenix.labelling import connected_components, separation_weights, watershed  # noqa: E402
from neurenix.metrics import adapted_rand_error, iou  # noqa: E402
from neurenix.multiscale import UNet, UNetPlusPlus  # noqa: E402
from neurenix.nn import BCELoss, DeepSupervisionLoss  # noqa: E402
from neurenix.nn.functional import gaussian_blur  # noqa: E402
from neurenix.normalization import Normalization  # noqa: E402
from neurenix.optim import AdamW, ExponentialMovingAverage  # noqa: E402
from neurenix.optim.lr_scheduler import OneCycleLR  # noqa: E402
from neurenix.picture import read_picture  # noqa: E402

TRAIN, TEST = range(20), range(20, 30)
CROP, BATCH, PEAK, DECAY = 256, 4, 3e-3, 0.98
WIDTHS = {"unet": [16, 32, 64, 128], "unet++": [16, 32, 64, 128]}
STEPS = {"unet": 1500, "torch": 1500, "unet++": 800}
LOOKS = 6  # how often a training is looked at for the curve
HEAVY, REACH = 5, 5.0  # weight of a membrane that is a line, and how fast that falls with the distance of the cells beside it

Predictor = Callable[[np.ndarray], np.ndarray]


def load(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images, float32 of 0 to 1, and membranes, uint8, both (30, 512, 512)."""
    images = np.stack([read_picture(folder / "images" / f"{i:02d}.png", channels=1) for i in range(30)])
    labels = np.stack([read_picture(folder / "labels" / f"{i:02d}.png", channels=1) for i in range(30)])
    return images.astype(np.float32) / np.float32(255), (labels == 0).astype(np.uint8)


def weight_map(membrane: np.ndarray) -> np.ndarray:
    """What a pixel counts more than others, uint8 (H, W): up to HEAVY where two cells nearly touch."""
    cells = connected_components(membrane == 0)
    return np.rint(separation_weights(cells, weight=HEAVY, sigma=REACH) - 1).astype(np.uint8)


def batches(data: tuple[np.ndarray, np.ndarray], steps: int, seed: int, *, weighted: bool) -> nxd.DataLoader:
    """Random crops of images, membranes and weights: turned by any angle, scaled, flipped, bent, brightened, with noise."""
    images, membranes = data
    weights = np.stack([weight_map(membranes[i]) if weighted else np.zeros_like(membranes[i]) for i in TRAIN])
    flips = [nxd.RandomHorizontalFlip(), nxd.RandomVerticalFlip()]
    turn = [nxd.RandomCrop(CROP + 64), nxd.RandomAffine(180, scale=(0.85, 1.18)), *flips]
    bend = nxd.ElasticTransform(alpha=(0.0, 500.0), sigma=16.0)
    light = [nxd.RandomBrightness(0.1), nxd.RandomContrast(0.2), nxd.GaussianNoise(sigma=0.05)]
    augment = nxd.Compose([*turn, bend, nxd.RandomCrop(CROP), *light])
    arrays = [images[TRAIN][:, None], membranes[TRAIN][:, None], weights[:, None]]
    dataset = nxd.ArrayDataset(*arrays, transform=augment, repeats=-(-steps * BATCH // len(TRAIN)))
    return nxd.DataLoader(dataset, batch_size=BATCH, num_workers=1, seed=seed, drop_last=True)


def judge(probabilities: np.ndarray, membranes: np.ndarray) -> dict[str, float]:
    """Means over images of the three measures, from probabilities (N, H, W) and truth (N, H, W)."""
    rows = []
    for probability, membrane in zip(probabilities, membranes, strict=True):
        cells = connected_components(membrane == 0)
        parts = connected_components(probability <= 0.5)
        smooth = gaussian_blur(np.ascontiguousarray(probability[None, None]), 2.0).numpy()[0, 0]
        flooded = watershed(probability, connected_components(smooth < 0.1))
        errors = [adapted_rand_error(found, cells, ignore_labels=(0,))[0] for found in (parts, flooded)]
        rows.append([iou(probability > 0.5, membrane > 0), *errors])
    return dict(zip(("IoU", "Rand error", "Rand error, watershed"), np.mean(rows, 0).round(4).tolist(), strict=True))


def train(name: str, step: Callable[[tuple], None], predict: Predictor, data: tuple, steps: int, seed: int) -> list[dict[str, float]]:
    """Train by ``step`` on batches, look now and then at the test images; the clock runs in training only."""
    images, membranes = data
    looks, seconds, begun = [], 0.0, time.perf_counter()
    for done, batch in enumerate(batches(data, steps, seed, weighted=name == "unet++"), 1):
        if done > steps:
            break
        step(batch)
        if done % -(-steps // LOOKS) == 0 or done == steps:
            seconds += time.perf_counter() - begun
            found = judge(np.stack([predict(images[i]) for i in TEST]), membranes[TEST])
            looks.append({"step": done, "seconds": round(seconds, 1)} | found)
            print(f"{name} seed {seed}: {looks[-1]}", flush=True)
            begun = time.perf_counter()
    return looks


def ours(data: tuple, steps: int, seed: int, *, nested: bool) -> list[dict[str, float]]:
    """The U-Net; or the nested one, its levels supervised and lines between cells weighted."""
    model = our_model(seed, nested=nested)
    normalize = model.input_normalization = Normalization(float(data[0][TRAIN].mean()), float(data[0][TRAIN].std()))
    criterion = DeepSupervisionLoss(BCELoss())
    optimizer = AdamW(model.parameters(), lr=PEAK, weight_decay=0.01)
    schedule = OneCycleLR(optimizer, PEAK, total_steps=steps)
    average = ExponentialMovingAverage([*model.parameters(), *(b for b in model.buffers() if b.is_floating_point())], decay=DECAY)

    def step(batch: tuple) -> None:
        image, membrane, weight = batch
        loss = criterion(model(normalize(image)), membrane.float(), pixel_weight=1 + weight.float() if nested else None)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        average.update()

    def predict(image: np.ndarray) -> np.ndarray:
        with average.applied():
            return nx.predict(model, image, tta=True)

    return train("unet++" if nested else "unet", step, predict, data, steps, seed)


def our_model(seed: int, *, nested: bool) -> nx.nn.Module:
    """A network with fresh weights, the same for the same seed."""
    nx.manual_seed(seed)
    if nested:
        return UNetPlusPlus(1, 1, WIDTHS["unet++"], deep_supervision=True)
    return UNet(1, 1, WIDTHS["unet"])


def theirs(data: tuple, steps: int, seed: int) -> list[dict[str, float]]:
    """The U-Net in PyTorch: the same weights at the start, the same batches, the same optimizer, schedule and averages."""
    import torch

    torch.set_num_threads(nx.get_num_threads())
    model = torch_unet(WIDTHS["unet"], 1, final=False)
    take_weights(model, our_model(seed, nested=False))
    model = model.to(memory_format=torch.channels_last)
    mean, std = float(data[0][TRAIN].mean()), float(data[0][TRAIN].std())
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK, weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK, total_steps=steps)
    average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(DECAY), use_buffers=True)

    def step(batch: tuple) -> None:
        image, membrane = (torch.from_numpy(np.array(b.numpy(), np.float32)) for b in batch[:2])
        image = ((image - mean) / std).contiguous(memory_format=torch.channels_last)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(image), membrane)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        average.update_parameters(model)

    def predict(image: np.ndarray) -> np.ndarray:
        turned = np.stack([np.rot90(flip, k) for flip in (image, image[:, ::-1]) for k in range(4)])
        average.eval()
        with torch.inference_mode():
            x = torch.from_numpy((turned[:, None] - np.float32(mean)) / np.float32(std))
            found = torch.cat([torch.sigmoid(average(part)) for part in x.split(1)])[:, 0].numpy()
        back = [np.rot90(found[4 * f + k], -k)[:, :: 1 - 2 * f] for f in range(2) for k in range(4)]
        return np.mean(back, 0, dtype=np.float32)

    return train("torch", step, predict, data, steps, seed)


def forest(data: tuple, steps: int, seed: int) -> list[dict[str, float]]:
    """A random forest on scikit-image's multi-scale features of the pixels."""
    from skimage.feature import multiscale_basic_features
    from sklearn.ensemble import RandomForestClassifier

    images, membranes = data
    begun, rng = time.perf_counter(), np.random.default_rng(seed)

    def features(image: np.ndarray) -> np.ndarray:
        stack = multiscale_basic_features(image, intensity=True, edges=True, texture=True, sigma_min=1, sigma_max=16)
        return stack.reshape(-1, stack.shape[-1])

    some = [rng.choice(membranes[i].size, 20_000, replace=False) for i in TRAIN]
    x = np.concatenate([features(images[i])[chosen] for i, chosen in zip(TRAIN, some, strict=True)])
    y = np.concatenate([membranes[i].ravel()[chosen] for i, chosen in zip(TRAIN, some, strict=True)])
    model = RandomForestClassifier(n_estimators=100, max_depth=20, n_jobs=-1, random_state=seed).fit(x, y)
    seconds = time.perf_counter() - begun
    found = np.stack([model.predict_proba(features(images[i]))[:, 1].reshape(images[i].shape) for i in TEST]).astype(np.float32)
    return [{"step": steps, "seconds": round(seconds, 1)} | judge(found, membranes[TEST])]


METHODS = {
    "unet": lambda *a: ours(*a, nested=False),
    "torch": theirs,
    "unet++": lambda *a: ours(*a, nested=True),
    "forest": forest,
}


def main() -> None:
    """Run the chosen methods with the chosen seeds; every curve is added to the file of results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="with images/ and labels/")
    parser.add_argument("--only", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--steps", type=int, help="of training, instead of each method's own number")
    given = parser.parse_args()
    data, path = load(given.folder), RESULTS / "membranes_curves.json"
    curves = json.loads(path.read_text()) if path.exists() else {}
    for seed in given.seeds:
        for name in given.only:
            curves[f"{name}, seed {seed}"] = METHODS[name](data, given.steps or STEPS.get(name, 0), seed)
    path.write_text(json.dumps(curves, indent=1) + "\n")
    report("membranes", [{"method": name} | looks[-1] for name, looks in curves.items()], machine())


if __name__ == "__main__":
    main()
