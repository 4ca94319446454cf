"""Random Gram matrices."""

import numpy as np
from benchopt import BaseDataset


class Dataset(BaseDataset):
    """H = A'A / m of standard normal A, m x N."""

    name = "Wishart"
    parameters = {"num_blocks": [30], "samples": [60], "remove": [6], "random_state": [0]}

    def get_data(self):
        """Return the arguments of `Objective.set_data`."""
        random = np.random.default_rng(self.random_state)
        a = random.standard_normal((self.samples, self.num_blocks))
        return {"hessian": a.T @ a / self.samples, "remove": self.remove}
