"""Native machinery below every solver: swaps, pools of states, threads, repair."""
