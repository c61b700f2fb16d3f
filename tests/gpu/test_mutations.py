"""Faults planted in our own kernels, one at a time: the tests that run them on the emulator would notice each."""

import numpy as np
import pytest
from gpu import emulated
from gpu.emulated import EmulatedModule, EmulatorError

import neurenix as nx
from neurenix import backend, nn, random
from neurenix.backend import sources
from neurenix.nn import functional as F
from neurenix.ops import regions
from neurenix.ops.conv_chain import Unit, conv_chain


def image(*shape):
    return np.random.default_rng(1).standard_normal(shape).astype("f4")


def conv(device):
    return F.conv2d(nx.tensor(image(1, 18, 5, 5)).to(device), nx.tensor(image(3, 18, 3, 3)).to(device), padding=1)


def total(device):
    return nx.tensor(image(4, 300)).to(device).sum(dim=1)


def norm(device):
    return F.batch_norm(nx.tensor(image(2, 3, 18, 21)).to(device), None, None, training=True)


def sliced(device):
    x = nx.tensor(image(5003)).to(device)
    return x[1:] * 2.0 + x[:-1]


def extreme(device):
    """The largest of equal ones, in the last part."""
    x = np.minimum(np.round(image(20000) * 3), 3) + 2 * (np.arange(20000) > 17000)
    return nx.argmax(nx.tensor(x.astype("f4")).to(device), 0)


def ordered(device):
    return nx.sort(nx.round(nx.tensor(image(2, 2500) * 9).to(device)), 1).indices.to(dtype="float32")


def ordered_rows(device):
    return nx.sort(nx.tensor(image(300, 11)).to(device), 1).values


def softmax(device):
    return F.softmax(nx.tensor(image(3, 300)).to(device), 1)


def running(device):
    return nx.tensor(image(3, 300)).to(device).cumsum(1)


def taken(device):
    x = nx.tensor(image(20, 30)).to(device).requires_grad_()
    x[nx.tensor(np.random.default_rng(4).integers(0, 20, 4500)).to(device)].square().sum().backward()
    return x.grad


def matmul(device):
    return nx.matmul(nx.tensor(image(5, 20)).to(device), nx.tensor(image(20, 7)).to(device))


def nuclear(device):
    return nx.norm(nx.tensor(image(6, 5)).to(device), "nuc")


def product(device):
    x = nx.tensor(image(2, 23)).to(device).requires_grad_()
    nx.cumprod(x, 1).sum().backward()
    return x.grad


def long_product(device):
    x = nx.tensor(np.random.default_rng(6).choice([-1.25, 0.75, 1.0], (2, 300)).astype("f4")).to(device).requires_grad_()
    (nx.cumprod(x, 1).sum() + nx.prod(x, 1).sum()).backward()
    return x.grad


def beside(device):
    with nx.no_grad():
        maps = [nx.tensor(image(1, c, 4, 5)).to(device) for c in (12, 6)]
        return conv_chain(maps[0], [Unit(nx.tensor(image(5, 18, 3, 3)).to(device), padding=1)], maps[1])


def active(device):
    with nx.no_grad():
        return nn.Sequential(nn.Conv2d(4, 6, 1), nn.GELU()).to(device)(nx.tensor(image(1, 4, 5, 5)).to(device))


def distances(device):
    y, x = backend.empty((1, 1, 90), "f4", device), np.where(np.arange(90) == 3, 0.0, 900.0).astype("f4").reshape(1, 1, 90)
    regions.distance_pass(y, backend.to_device(x, device), 1, 90, 1, 1.0)
    return nx.Tensor._wrap(y)


def permutation(device):
    y = backend.empty((600,), "i8", device)
    random.random_permutation(y, 1, 2)
    return nx.Tensor(y)


def loss(device):
    return F.mse_loss(nx.tensor(image(9000)).to(device), nx.tensor(image(1)).to(device).expand(9000))


def grid_gradient(device):
    x = nx.tensor(image(1, 2, 17, 20)).to(device).requires_grad_()
    grid = np.random.default_rng(2).uniform(-1, 1, (1, 30, 20, 2)).astype("f4")
    F.grid_sample(x, nx.tensor(grid).to(device), align_corners=True).square().sum().backward()
    return x.grad


def long_loss(device):
    return F.mse_loss(nx.tensor(image(70001)).to(device), nx.tensor(np.zeros(70001, "f4")).to(device))


def chosen(device):
    x = nx.tensor(image(9000)).to(device)
    return x[x > 0.5]


def flooded(device):
    shape, rng = (1, 20, 20), np.random.default_rng(3)
    arrays = (
        rng.random(shape, "f4"),
        (rng.random(shape) < 0.1) * np.arange(400).reshape(shape),
        np.ones(shape, bool),
        np.zeros(shape, np.int64),
    )
    arrays = [backend.to_device(np.ascontiguousarray(a), device) for a in arrays]
    regions.watershed_flood(*arrays, *shape, 2, 0)
    return nx.Tensor._wrap(arrays[3])


MUTATIONS = {
    "no barrier behind the loads": ("conv", conv, "                        __syncthreads();\n                        multiply", "                        multiply"),
    "no barrier behind the products": ("conv", conv, "multiply(sums, tile, tx, ty);\n                        __syncthreads();", "multiply(sums, tile, tx, ty);"),
    "no bound on input rows": ("conv", conv, "rows.inside(r) && cols.inside(s)", "cols.inside(s)"),
    "no bound on outputs": ("conv", conv, "if (k < outputs) place[k]", "place[k]"),
    "tail of channels not masked": ("conv", conv, "inside ? to - c - quad : 0", "inside ? 4 : 0"),
    "four at once from anywhere": ("conv", conv, "count % 4 == 0 && (unsigned long long)x % 16 == 0", "true"),
    "one pixel too few": ("conv", conv, "if (p >= pixels) break;", "if (p + 1 >= pixels) break;"),
    "wrong address of a pixel": ("conv", conv, "x + pixel * pitch + channel", "x + pixel * (pitch + 1) + channel"),
    "no barrier in a tree": ("reduce", total, "team.slot(team.lane + half)]);\n        __syncthreads();", "team.slot(team.lane + half)]);"),
    "a lane left out": ("reduce", total, "int64 i = begin + team.lane; i < stop", "int64 i = begin + team.lane + 1; i < stop"),
    "a wrong type of argument": ("reduce", total, "int64 op, double a, double* scratch", "int64 op, float a, double* scratch"),
    "no barrier before the merge": ("norm", norm, "= tree.total();\n    __syncthreads();", "= tree.total();"),
    "tiles beyond the edge": ("norm", norm, "y < top + SIDE && y < h", "y < top + SIDE"),
    "no barrier before the rotation": ("statistics", nuclear, "dots[team][lane] = dot;\n        }\n        __syncthreads();", "dots[team][lane] = dot;\n        }"),
    "a pair left out": ("statistics", nuclear, "sum < 2 * columns - 2", "sum < 2 * columns - 3"),
    "a double kept where it is overwritten": ("scan", product, "y[line.at(2 * i + 1)] = __uint", "y[line.at(2 * i)] = __uint"),
    "a warp that does not wait for its line": ("scan", long_product, "term(from + place, which);\n        __syncwarp();", "term(from + place, which);"),
    "a part's end kept one too late": ("scan", long_product, "keep(gx, line, from / PART, state)", "keep(gx, line, from / PART + 1, state)"),
    "the x of the next": ("scan", long_product, "x[line.at(k - 1)]", "x[line.at(k)]"),
    "a second map from its first channel on": ("conv", beside, "(count - first) + channel - first", "(count - first) + channel"),
    "an epilogue's values in another order": ("conv", active, "x[N - 1] = y;", "x[0] = y;"),
    "a search that ends too soon": ("regions", distances, "if (square >= least) break;", "if (square * 2 >= least) break;"),
    "exchanges that do not wait": ("random", permutation, "places[k] == i || places[k] == j", "places[k] == j"),
    "an element of the next unit": ("loss", loss, "i = unit * UNIT + lane; i < stop", "i = unit * UNIT + lane; i <= stop"),
    "no barrier before digits are added": (
        "sampling",
        grid_gradient,
        "before[warp][digit] = __popc(same);\n        __syncthreads();",
        "before[warp][digit] = __popc(same);",
    ),
    "a wrong digit": ("sampling", grid_gradient, "pixel >> (8 * pass) & 255", "pixel >> (8 * pass) & 127"),
    "a sort that is not stable": ("sampling", grid_gradient, "before[warp][digit] + __popc(same & ((1u << lane) - 1))", "before[warp][digit] + __popc(same >> lane) - 1"),
    "the last unit left out": ("loss", long_loss, "unit * UNIT < n) sums", "(unit + 1) * UNIT < n) sums"),
    "a tree one branch short": ("loss", long_loss, "2 * i + 1 < left ?", "2 * i + 2 < left ?"),
    "a chunk's end": ("scatter", chosen, "from + i < size && mask[from + i]", "mask[from + i]"),
    "a warp's count lost": ("scatter", chosen, "if (lane == 31) shared[warp]", "if (lane == 30) shared[warp]"),
    "a heap that forgets a child": ("regions", flooded, "unsigned first = child < size ?", "unsigned first = child + 1 < size ?"),
    "a heap without its order": ("regions", flooded, "if (!before(least, first, l, o)) break;", "if (before(least, first, l, o)) break;"),
    "a pack from anywhere": ("elementwise", sliced, "(uint64)array % (N * sizeof(T)) == 0", "true"),
    "a pack beyond the end": ("elementwise", sliced, "packed && i + N <= size", "packed && i < size"),
    "elements in another order": ("elementwise", sliced, "some.v[k] = some.v[k + 1]", "some.v[k] = some.v[0]"),
    "no barrier before the part is read": (
        "ordering",
        ordered,
        "runs.places[place];\n    }\n    __syncthreads();",
        "runs.places[place];\n    }",
    ),
    "a part's cut one too far": ("ordering", ordered, "else low = i + 1;\n    }\n    return low", "else low = i + 1;\n    }\n    return low + 1"),
    "equals that change places": ("ordering", ordered, "!below && i > k", "!below && i < k"),
    "no barrier between comparisons": ("ordering", ordered_rows, "            __syncthreads();\n            for (int pair", "            for (int pair"),
    "a row of the next tile": ("ordering", ordered_rows, "row >= rows || k >= length", "k >= length"),
    "a warp that does not wait for its terms": ("softmax", softmax, "hold(from + place, place);\n        __syncwarp();", "hold(from + place, place);"),
    "terms overwritten too soon": ("softmax", softmax, "follow(place);\n        __syncwarp();", "follow(place);"),
    "an element of the next line": ("softmax", softmax, "n - from < PART ? n - from : PART", "PART"),
    "one lane's totals": ("scan", running, "if (place % 32 == lane) totals", "if (place == lane) totals"),
    "a later one of equals": ("reduce", extreme, "return place_a < place_b", "return place_a > place_b"),
    "a part's place lost": ("reduce", extreme, "team.total * parts + at], team.count", "team.total * parts], team.count"),
    "a place left out": ("scatter", taken, "i < count && keys[i] == key", "i + 1 < count && keys[i] == key"),
    "a round too few": ("scatter", taken, "while (((int64)TILE << round) < count) round++", "while (((int64)TILE << round) * 2 < count) round++"),
    "misaligned vectors": ("matmul", matmul, "y[(blockIdx.y * m + r) * n + c] = sums[i][j]", "*(float4*)(y + (blockIdx.y * m + r) * n + c) = float4{}"),
}  # fmt: skip


@pytest.mark.parametrize("fault", MUTATIONS)
def test_a_planted_fault_is_noticed(door, monkeypatch, fault):
    stem, case, right, wrong = MUTATIONS[fault]
    assert right in sources.unit(stem, "f32") + sources.unit(stem, "b1"), "the kernel has changed: plant the fault anew"

    def module(name, suffix):
        unit = sources.unit(name, suffix)
        return EmulatedModule(unit.replace(right, wrong) if name == stem else unit)

    monkeypatch.setattr(emulated, "module", module)
    expected = case("cpu").numpy()
    noticed = ""
    for guard in ("right", "left"):
        monkeypatch.setattr(door, "guard", guard)
        try:
            different = not np.allclose(case("emulated").numpy(), expected, rtol=1e-5)
            noticed = noticed or ("another result" if different else "")
        except EmulatorError as error:
            noticed = noticed or str(error)
    assert noticed, f"{stem}.cu with {fault} went unnoticed"
