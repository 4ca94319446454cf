"""The version of the package, in the one place where the build reads it, and those around it."""

__version__ = "0.1.0"


def versions(*names: str) -> dict[str, str]:
    """Return the versions of what is installed of `names`: distributions, ``python``, or this
    package.

    Examples
    --------
    >>> list(versions("qubo-prune", "python", "numpy", "numquam"))
    ['qubo-prune', 'python', 'numpy']
    """
    # Not before it is asked for: the modules behind it would make `import qubo_prune` slow.
    import platform
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in names:
        if name == "python":
            found[name] = platform.python_version()
        elif name.replace("_", "-") == "qubo-prune":
            found[name] = __version__  # also of a copy on the path, without metadata
        else:
            try:
                found[name] = version(name)
            except PackageNotFoundError:
                continue
    return found
