"""UNet++: its parameters, its nodes, supervision."""

import numpy as np

import neurenix as nx
from neurenix.multiscale import UNetPlusPlus
from neurenix.nn import functional
from neurenix.testing import assert_same_bits, random_array


def test_number_of_parameters():
    with nx.lazy.loading():
        model = UNetPlusPlus(1, 1, [32, 64, 128, 256], norm=None, deep_supervision=True)
    assert model.num_parameters() == 9_041_700  # 9.04 M in the paper
    assert sorted(model.nodes.keys()) == ["0_1", "0_2", "0_3", "0_4", "1_1", "1_2", "1_3", "2_1", "2_2", "3_1"]


def test_nodes_by_hand():
    nx.manual_seed(2)
    model = UNetPlusPlus(2, 1, [3, 4], norm="group", final_activation=None, deep_supervision=True).double()
    x = nx.Tensor(random_array(1, 2, 7, 5))
    a = model.encoder[0](x)
    b = model.encoder[1](functional.max_pool2d(a, 2, ceil_mode=True))
    c = model.encoder[2](functional.max_pool2d(b, 2, ceil_mode=True))
    a1 = model.nodes["0_1"](nx.cat([a, model.ups["0_1"](b)[:, :, :7, :5]], dim=1))
    b1 = model.nodes["1_1"](nx.cat([b, model.ups["1_1"](c)[:, :, :4, :3]], dim=1))
    a2 = model.nodes["0_2"](nx.cat([a, a1, model.ups["0_2"](b1)[:, :, :7, :5]], dim=1))
    for got, want in zip(model(x), [model.heads[0](a2), model.heads[1](a1)], strict=True):
        assert_same_bits(got, want)


def test_supervision_adds_heads_only():
    plain, supervised = UNetPlusPlus(1, 1, [2, 3], norm="group"), UNetPlusPlus(1, 1, [2, 3], norm="group", deep_supervision=True)
    assert set(supervised.state_dict()) - set(plain.state_dict()) == {"heads.1.weight", "heads.1.bias"}
    supervised.load_state_dict(plain.state_dict(), strict=False)
    x = random_array(1, 1, 9, 6, dtype=np.float32)
    assert_same_bits(supervised(x)[0], plain(x))
    assert_same_bits(nx.predict(supervised, x[0, 0]), nx.predict(plain, x[0, 0]))
