"""Drives a target with atheris, guided by the coverage of our code and of what it parses with:
`python -m tests.fuzz.with_atheris --target object ...`. Prints its figures as JSON.
"""

import os
import sys
from random import Random

import atheris

with atheris.instrument_imports(include=["dicom_node", "pydicom", "pynetdicom"]):
    from tests.fuzz.edits import LARGEST_CASE, apply, random_edits
    from tests.fuzz.session import Session, arguments, silence
    from tests.fuzz.targets import KINDS

_LARGEST_MIB = 4096


def main() -> None:
    chosen = arguments()
    silence()
    session = Session(chosen.target, chosen.findings)
    grammar = KINDS[chosen.target].grammar

    def run(case: bytes) -> None:
        try:
            session.run(case)
        except Exception:
            session.keep_failure()
        if session.cases >= chosen.runs:
            # libFuzzer would leave without letting us say anything.
            print(session.result(), flush=True)
            os._exit(0)

    def mutate(case: bytes, largest: int, its_seed: int) -> bytes:
        random = Random(its_seed)
        if random.random() < 0.4:
            return bytes(atheris.Mutate(case, largest))
        return apply(case, random_edits(random), grammar)[:largest]

    corpus = chosen.findings / f"corpus-{chosen.target}"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, case in enumerate(session.seeds):
        (corpus / f"seed-{number}").write_bytes(case)
    options = [
        f"-seed={chosen.seed}",
        f"-max_len={LARGEST_CASE}",
        f"-rss_limit_mb={_LARGEST_MIB}",
        f"-artifact_prefix={chosen.findings}/{chosen.target}-",
        "-timeout=120",
        "-report_slow_units=60",
        "-print_final_stats=0",
        "-verbosity=0",
        str(corpus),
    ]
    atheris.Setup([sys.argv[0], *options], run, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
