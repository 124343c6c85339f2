"""Keyed sampling: the noise is Gumbel's, the tokens follow softmax and top-p, and no split of a batch changes them."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import chi2_contingency, chisquare, gumbel_r, kstest

from stgrpo.policy.sampling import KeyedSampler, greedy, gumbel, keep_top_p, key

UNLIKELY = 1e-3  # a fixed seed either passes this or does not; a wrong distribution falls far below it
MASK = (1 << 64) - 1

LOGITS = [1.0, 0.0, 2.0, -1.0, 0.5, -3.0]


def keys(count: int, start: int = 0) -> list[int]:
    return [key("test", start + i) for i in range(count)]


# Noise.


def test_noise_is_gumbel():
    noise = gumbel(torch.tensor(keys(200)), position=3, vocabulary=500).flatten().numpy()
    assert kstest(noise, gumbel_r.cdf).pvalue > UNLIKELY


@pytest.mark.parametrize("start", [0, 2**62, 2**63 - 401])
def test_noise_is_gumbel_for_keys_that_stand_close(start: int):
    noise = gumbel(torch.arange(start, start + 400, dtype=torch.int64), position=0, vocabulary=250).flatten().numpy()
    assert kstest(noise, gumbel_r.cdf).pvalue > UNLIKELY


def correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    """In standard errors: of n independent pairs, r * sqrt(n) is standard normal."""
    return float(np.corrcoef(a.flatten().numpy(), b.flatten().numpy())[0, 1] * a.numel() ** 0.5)


def test_neighbours_have_nothing_in_common():
    """Neighbouring keys, positions and tokens, and both diagonals; 100,000 pairs each."""
    rows = torch.arange(7, 327, dtype=torch.int64)
    here, after = gumbel(rows, 5, 320), gumbel(rows, 6, 320)
    found = {
        "keys": correlation(here[:-1], here[1:]),
        "positions": correlation(here, after),
        "tokens": correlation(here[:, :-1], here[:, 1:]),
        "keys and tokens": correlation(here[:-1, :-1], here[1:, 1:]),
        "positions and tokens": correlation(here[:, :-1], after[:, 1:]),
    }
    assert {name: value for name, value in found.items() if abs(value) > 4} == {}


def test_no_two_draws_are_equal():
    rows = torch.arange(0, 100, dtype=torch.int64)
    noise = torch.stack([gumbel(rows, position, 100) for position in range(4)]).double()
    assert len(noise.unique()) > 0.99 * noise.numel()  # float32 makes some equal


def reference(row: int, position: int, token: int) -> float:
    """SplitMix64's finaliser on unbounded integers, as published; not on torch's signed ones."""
    z = (row + 0x9E3779B97F4A7C15 * (token + 1) + 0xD1B54A32D192ED03 * (position + 1)) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    z ^= z >> 31
    return -np.log(-np.log(((z >> 11) + 0.5) / 2**53))


@pytest.mark.parametrize("row", [0, 1, 2**63 - 1, key("a")])
def test_noise_equals_the_published_hash(row: int):
    found = gumbel(torch.tensor([row]), position=767, vocabulary=40)[0].tolist()
    assert found == pytest.approx([reference(row, 767, token) for token in range(40)], rel=1e-6, abs=1e-6)


def unshift(x: int, bits: int) -> int:
    """The y with y ^ (y >> bits) = x."""
    y = x
    for _ in range(64 // bits):
        y = x ^ (y >> bits)
    return y


def test_the_largest_hash_gives_finite_noise():
    counter = unshift(unshift(MASK, 31) * pow(0x94D049BB133111EB, -1, 1 << 64) & MASK, 27)
    counter = unshift(counter * pow(0xBF58476D1CE4E5B9, -1, 1 << 64) & MASK, 30)
    row = (counter - 0x9E3779B97F4A7C15 - 0xD1B54A32D192ED03) & MASK  # token 0, position 0
    row = row - (1 << 64) if row >> 63 else row
    assert torch.isfinite(gumbel(torch.tensor([row]), position=0, vocabulary=1)).all()


# Keys.


def test_a_key_is_the_same_for_ever():
    """From the shell: the first 16 digits of printf '7\\0375\\037q1' | sha256sum, as a number, halved."""
    assert key(7, 5, "q1") == 8050363207052646020


def test_keys_are_numbers_below_2_to_the_63():
    found = keys(2000)
    assert all(0 <= number < 2**63 for number in found)
    assert max(found) > 2**62, "the upper half is used"
    assert len(set(found)) == 2000


def test_a_key_tells_its_parts_apart():
    assert len({key(1, 23), key(12, 3), key(123), key(1, 2, 3), key(3, 2, 1)}) == 5


# Top-p.


@pytest.mark.parametrize(
    ("probabilities", "top_p", "kept", "reason"),
    [
        ([0.5, 0.3, 0.15, 0.05], 0.4, [0], "one token reaches it"),
        ([0.5, 0.3, 0.15, 0.05], 0.6, [0, 1], "0.5 does not reach 0.6, 0.8 does"),
        ([0.5, 0.3, 0.15, 0.05], 0.9, [0, 1, 2], "0.95 reaches 0.9"),
        ([0.5, 0.3, 0.15, 0.05], 0.97, [0, 1, 2, 3], "0.95 does not reach 0.97"),
        ([0.5, 0.3, 0.15, 0.05], 1.0, [0, 1, 2, 3], "all"),
        ([0.5, 0.3, 0.15, 0.05], 1e-9, [0], "the most probable one always stays"),
        ([0.05, 0.15, 0.5, 0.3], 0.6, [2, 3], "in any order"),
    ],
)
def test_keep_top_p_by_hand(probabilities: list[float], top_p: float, kept: list[int], reason: str):
    logps = torch.tensor([probabilities]).log()
    found = keep_top_p(logps, top_p)[0]
    assert found.isfinite().nonzero().flatten().tolist() == kept, reason
    assert torch.equal(found[kept], logps[0, kept]), "what is kept keeps its value"
    assert (found[~found.isfinite()] == -torch.inf).all()


def test_rows_are_cut_one_by_one():
    logps = torch.tensor([[0.9, 0.06, 0.04], [0.34, 0.33, 0.33]]).log()
    assert keep_top_p(logps, 0.8).isfinite().tolist() == [[True, False, False], [True, True, True]]


# Tokens.


def expected(logits: list[float], temperature: float, top_p: float) -> np.ndarray:
    """Probabilities after temperature and top-p, by numpy: sort, cut, normalise again."""
    probabilities = softmax(np.array(logits) / temperature)
    order = np.argsort(-probabilities)
    needed = int(np.searchsorted(np.cumsum(probabilities[order]), top_p)) + 1
    kept = np.zeros_like(probabilities)
    kept[order[:needed]] = probabilities[order[:needed]]
    return kept / kept.sum()


def test_what_is_expected_by_hand():
    """exp(LOGITS) sums to 13.1737; 7.3891 and 2.7183 of it hold 0.767, the first of them alone 0.561."""
    assert expected(LOGITS, 1.0, 0.7).tolist() == pytest.approx([0.2689, 0, 0.7311, 0, 0, 0], abs=1e-4)


def frequencies(count: int, temperature: float, top_p: float, position: int = 0) -> np.ndarray:
    sampler = KeyedSampler(keys(count), temperature, top_p)
    tokens = sampler(torch.tensor(LOGITS).expand(count, -1), position)
    return np.bincount(tokens.numpy(), minlength=len(LOGITS))


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (1.0, 0.95), (1.0, 0.7), (0.5, 0.95), (2.0, 0.95)])
def test_tokens_follow_temperature_and_top_p(temperature: float, top_p: float):
    found, wanted = frequencies(20_000, temperature, top_p), expected(LOGITS, temperature, top_p)
    assert found[wanted == 0].sum() == 0, "a token outside top-p"
    kept = wanted > 0
    assert chisquare(found[kept], 20_000 * wanted[kept]).pvalue > UNLIKELY


def test_the_temperature_is_noticed():
    found = frequencies(20_000, 0.5, 1.0)
    assert chisquare(found, 20_000 * softmax(LOGITS)).pvalue < 1e-9


def test_a_low_temperature_is_greedy():
    assert frequencies(500, 0.01, 1.0).tolist() == [0, 0, 500, 0, 0, 0]


def test_the_temperature_comes_before_top_p():
    """At temperature 1 the first three tokens hold 0.892 and top-p 0.9 keeps four; at 4 four hold 0.802: five."""
    assert (frequencies(20_000, 1.0, 0.9) > 0).sum() == 4
    assert (frequencies(20_000, 4.0, 0.9) > 0).sum() == 5


def test_positions_are_independent():
    sampler = KeyedSampler(keys(20_000), 1.0, 1.0)
    logits = torch.tensor([0.0, 0.5, 1.0]).expand(20_000, -1)
    table = np.zeros((3, 3))
    np.add.at(table, (sampler(logits, 0).numpy(), sampler(logits, 1).numpy()), 1)
    assert chi2_contingency(table).pvalue > UNLIKELY
    assert np.trace(table) < 20_000, "the same token again and again"


@pytest.fixture(scope="module")
def batch() -> tuple[torch.Tensor, list[int]]:
    return torch.randn(24, 300, generator=torch.Generator().manual_seed(0)) * 2, keys(24)


@pytest.mark.parametrize("sizes", [[8, 8, 8], [1] * 24, [5, 19], [23, 1]], ids=str)
def test_any_split_of_the_rows_gives_the_same_tokens(batch: tuple[torch.Tensor, list[int]], sizes: list[int]):
    logits, rows = batch
    whole = KeyedSampler(rows, 1.0, 0.95)(logits, 9)
    parts, start = [], 0
    for size in sizes:
        part = slice(start, start + size)
        parts.append(KeyedSampler(rows[part], 1.0, 0.95)(logits[part], 9))
        start += size
    assert torch.equal(torch.cat(parts), whole)


def test_any_order_of_the_rows_gives_the_same_tokens(batch: tuple[torch.Tensor, list[int]]):
    logits, rows = batch
    whole = KeyedSampler(rows, 1.0, 0.95)(logits, 9)
    assert torch.equal(KeyedSampler(rows[::-1], 1.0, 0.95)(logits.flip(0), 9).flip(0), whole)


def test_other_keys_and_other_positions_give_other_tokens(batch: tuple[torch.Tensor, list[int]]):
    logits, rows = batch
    whole = KeyedSampler(rows, 1.0, 0.95)(logits, 9)
    assert not torch.equal(KeyedSampler(rows, 1.0, 0.95)(logits, 10), whole)
    assert not torch.equal(KeyedSampler(keys(24, start=24), 1.0, 0.95)(logits, 9), whole)


def test_the_sampler_leaves_the_logits_and_the_global_generator_alone(batch: tuple[torch.Tensor, list[int]]):
    logits, rows = batch
    before, state = logits.clone(), torch.get_rng_state()
    KeyedSampler(rows, 1.0, 0.95)(logits, 0)
    assert torch.equal(logits, before)
    assert torch.equal(torch.get_rng_state(), state)


def test_half_precision_logits_are_sampled_in_single_precision():
    logits = torch.tensor([LOGITS]).bfloat16()  # exact in bfloat16
    rows = keys(500)
    halved = KeyedSampler(rows, 1.0, 0.95)(logits.expand(500, -1), 0)
    assert torch.equal(halved, KeyedSampler(rows, 1.0, 0.95)(logits.float().expand(500, -1), 0))


def test_greedy_takes_the_most_probable_token():
    logits = torch.tensor([[0.1, 0.9, 0.5], [3.0, -1.0, 2.0]])
    assert greedy(logits, 0).tolist() == [1, 0]
