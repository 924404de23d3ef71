"""Fine-tune neural networks on the microcontroller they run on."""

__version__ = "0.1.0"
