"""What the kernel did. ADD A PROBE: one Python file here and one C file in ``bpf/``.

``modes`` holds the ways to see it; everything else is what they share: BTF, the ring, the process.
"""
