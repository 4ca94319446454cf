"""An Ising solver of my own: simulated annealing that swaps a spin up with a spin down."""

import numpy as np


def anneal(h, J, M, num_reads, seed, sweeps=50, hot=1.0, cold=0.01, keep=False):
    """Return the last states of `num_reads` walks: spins of -1 and 1, of which M are 1.

    Their energies are ``h @ s + s @ J @ s``; J is zero on and below its diagonal. With `keep`,
    return also where the walks were after each sweep.
    """
    random = np.random.default_rng(seed)
    couplings = J + J.T
    walks = np.arange(num_reads)
    order = random.permuted(np.tile(np.arange(len(h)), (num_reads, 1)), axis=1)
    up, down = order[:, :M], order[:, M:]
    spins = -np.ones((num_reads, len(h)))
    np.put_along_axis(spins, up, 1.0, axis=1)
    fields = h + spins @ couplings
    temperatures = np.geomspace(hot, cold, sweeps * len(h)) * np.abs(fields).mean()
    passed = []
    for step, temperature in enumerate(temperatures, 1):
        a = random.integers(up.shape[1], size=num_reads)
        b = random.integers(down.shape[1], size=num_reads)
        i, j = up[walks, a], down[walks, b]
        change = 2.0 * (fields[walks, j] - fields[walks, i]) - 4.0 * couplings[i, j]
        taken = change < -temperature * np.log1p(-random.random(num_reads))
        up[walks[taken], a[taken]], down[walks[taken], b[taken]] = j[taken], i[taken]
        spins[walks[taken], i[taken]], spins[walks[taken], j[taken]] = -1.0, 1.0
        fields[taken] += 2.0 * (couplings[j[taken]] - couplings[i[taken]])
        if keep and step % len(h) == 0:
            passed.append(spins.copy())
    return np.concatenate([*passed, spins])


def keep_all(h, J, M, num_reads, seed):
    """Return all that the walks pass by, at temperatures at which they still move."""
    return anneal(h, J, M, num_reads, seed, hot=0.2, cold=0.05, keep=True)
