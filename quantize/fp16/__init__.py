"""fp32 to fp16: the whole way in `fp16`, and the rewrites that only float16 needs."""
