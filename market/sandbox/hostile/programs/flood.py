"""Prints and prints, up to a hundred times what is allowed. Among it a line without end, and one that repaints."""

import sys

from hostile import limit

sys.stdout.write("y" * 3000 + "y" * 3000 + "\n")
sys.stdout.write("\x1b[2J\x1b]0;owned\x07\u202e done \u200b\n")
for _ in range(100 * limit("stdout_bytes") // 4000):
    sys.stdout.write("x" * 3999 + "\n")
