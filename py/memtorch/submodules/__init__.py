"""Empty: MemTorch 1.1.6 kept sources of third parties here, and scripts may import it."""

__all__: list[str] = []
