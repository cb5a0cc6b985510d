"""The library's half of kernel-tuner-round-trip.sh: reads, simulates, validates, writes."""

import json
import pathlib
import sys

import jsonschema
import kernel_tuner
from kernel_tuner import file_utils, util

work = pathlib.Path(sys.argv[1])
(work / "library").mkdir()
read = simulated = 0
for path in sorted((work / "cachefile").glob("*.json")):
    cache = util.read_cache(str(path), open_cache=False)
    read += 1
    passed = [e for e in cache["cache"].values() if "__error__" not in e]
    assert all(isinstance(e["time"], float) and e["time"] > 0 for e in passed), path
    assert all(k == ",".join(str(e[p]) for p in cache["tune_params_keys"]) for k, e in cache["cache"].items()), path
    # Simulation is slow for its size; some files stand for all.
    if len(passed) < 2 or simulated == 12:
        continue
    # The conditions as `smith export --format t1` writes them, which are Python.
    t1 = json.loads((work / "t1" / f"{path.stem}.T1.json").read_text())["ConfigurationSpace"]
    restrictions = [c["Expression"] for c in t1["Conditions"]] or None
    results, _ = kernel_tuner.tune_kernel(
        cache["kernel_name"], "__global__ void k() {}", cache["problem_size"], [], cache["tune_params"],
        restrictions=restrictions,
        cache=str(path), simulation_mode=True, strategy="brute_force", block_size_names=cache["tune_params_keys"][:1],
        verbose=False, quiet=True,
    )
    best = min(r["time"] for r in results if "__error__" not in r)
    assert best == min(e["time"] for e in passed), (path, best)
    assert len([r for r in results if "__error__" not in r]) == len(passed), (path, len(results), len(passed))
    file_utils.store_output_file(str(work / "library" / f"{path.stem}.T4.json"), results, cache["tune_params"])
    simulated += 1

_, schema = file_utils.output_file_schema("results")
t4 = 0
for path in sorted((work / "t4").glob("*.json")):
    jsonschema.validate(json.loads(path.read_text()), schema)
    t4 += 1
t1 = 0
for path in sorted((work / "t1").glob("*.json")):
    file_utils.get_input_file(path)
    t1 += 1
assert read == t4 == t1 and read > 0
assert simulated > 0, "no file was large enough to simulate"
print(f"read {read} cachefiles, simulated {simulated} of them to the same optimum, validated {t4} T4 and {t1} T1 files")
