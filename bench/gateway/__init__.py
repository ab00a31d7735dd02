"""What Ali costs as a gateway, beside no gateway at all, nginx and LiteLLM's proxy: `./run bench gateway`."""
