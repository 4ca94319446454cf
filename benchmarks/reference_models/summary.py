"""The tables of docs/explanation/reference-hessians.md, from the sidecars and the certificates."""

from __future__ import annotations

from collections import Counter

from benchmarks.record import markdown
from benchmarks.reference_models.spectra import NUM_STATES, REFERENCES, REMOVALS
from qubo_prune.hessians import load_hessian
from qubo_prune.solving.proof.certificate import Certificate


def hessians_table() -> str:
    """Return what was trained on how much, and how well it predicts held-out bytes."""
    rows = []
    for name in REMOVALS:
        file = load_hessian(name)
        kinds = Counter(file.kinds)
        training = file.metadata["training"]
        bits = training["held_out_bits_per_byte"]
        rows.append(
            [
                f"`{name}`",
                str(file.num_blocks),
                ", ".join(f"{count} {kind}" for kind, count in kinds.items()),
                f"{training['parameters'] / 1e6:.2f}M",
                f"{training['tokens'] / 1e6:.2f}M",
                f"{bits['untrained']:.2f}",
                f"{bits['trained']:.2f}",
            ]
        )
    columns = ["Hessian", "N", "kinds", "parameters", "bytes of training"]
    return markdown([*columns, "bits per byte, untrained", "trained"], rows)


def spectra_table() -> str:
    """Return the ends of the stored spectra and what their proofs took."""
    rows = []
    for reference in REFERENCES:
        spectrum = Certificate.load(reference.path).spectrum
        remove = reference.remove
        rows.append(
            [
                f"`{reference.hessian}`",
                str(remove)
                if isinstance(remove, int)
                else ", ".join(f"{count} {kind}" for kind, count in remove.items()),
                f"{reference.problem().num_states:.3g}",
                f"{spectrum.energies[0]:.5g}",
                f"{spectrum.energies[-1]:.5g}",
                f"{spectrum.num_evaluated:,}",
                f"{spectrum.timings['total']:.2f}",
            ]
        )
    columns = ["Hessian", "removed", "states", "lowest energy", f"that of the last of {NUM_STATES}"]
    return markdown([*columns, "nodes", "seconds"], rows)
