"""The sub-commands of `fracture-screen`, a module per subject; `worker.cli` lists them."""
