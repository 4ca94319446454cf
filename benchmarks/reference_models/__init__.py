"""Small, deep models trained on the standard library's sources, and their Hessians and spectra."""
