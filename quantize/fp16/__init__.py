"""fp32 to fp16: what is observed, the conversion, and the rewrites that only float16 needs."""
