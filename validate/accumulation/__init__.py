"""What a float16 file gives where sums are accumulated in float16, as some devices do."""
