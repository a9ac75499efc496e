"""Leaves a daemon behind that goes on writing to the weights after the job has ended."""

import os
import time

if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in range(600):
            with open("/out/weights.safetensors", "w") as file:
                file.write(f"rewritten {number}")
            time.sleep(0.1)
    os._exit(0)
time.sleep(0.5)
