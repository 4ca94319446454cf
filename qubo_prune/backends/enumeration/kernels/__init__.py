"""The compiled part of enumeration on the processor."""
