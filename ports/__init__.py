"""What the rooms ask of the world they run in: time, randomness, HTTP. The simulator drives all of it.

Nothing outside `ports.system` and the edge reads a clock or draws a random number (a lint rule says so).
"""
