"""The enumeration's engine for NVIDIA GPUs.

`tables` and `work_list` turn a layout and its tasks into what ``kernel.cu`` reads, `device_engine`
runs it, on a `device`: a GPU through CuPy, or the same
source compiled for the processor by `host`, which is how the tests check it.
"""
