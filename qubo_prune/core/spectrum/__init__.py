"""The spectrum: the lowest states found, and what is proven about them."""
