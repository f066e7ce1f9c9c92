"""All that the web may know of the engine; free of torch."""
