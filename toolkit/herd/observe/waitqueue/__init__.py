"""The X-ray: the kernel's own wait queue of a listening socket, and whom the next connection wakes."""
