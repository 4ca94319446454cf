"""Hessians that come with qubo-prune."""

from benchopt import BaseDataset

from qubo_prune import Problem


class Dataset(BaseDataset):
    """A bundled Hessian, and how many of its blocks are to be removed."""

    name = "Bundled"
    requirements = ["pip::qubo-prune"]
    parameters = {"hessian": ["bytelm-40-block"], "remove": [4, 10]}

    def get_data(self):
        """Return the arguments of `Objective.set_data`."""
        problem = Problem.load(self.hessian, remove=self.remove)
        return {"hessian": problem.hessian, "remove": self.remove}
