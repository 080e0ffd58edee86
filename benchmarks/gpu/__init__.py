"""All that a GPU is wanted for, in one command and in the time that there is: `python -m benchmarks.gpu`.

The tests that can use CUDA, the benchmarks at DiT-XL/2 (the plain way beside ours, eager and compiled), and a base that
is trained on ImageNette at 64 px with the rest of the time. Each is a process of its own with a limit, so that what
fails or hangs costs only itself; after each the results are written, and a second call goes on behind them.
"""
