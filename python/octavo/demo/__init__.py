"""The demo: a small network for handwritten digits, quantized and compared with itself in float."""
