"""Live sources: scores and events while a camera or a stream goes on."""
