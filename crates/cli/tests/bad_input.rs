//! Bad usage and input: exit code 2, a message that names what and where, nothing left behind.

mod support;

use support::*;

/// Words of a command line, and what its message must name. `FILE` stands for an empty file.
const BAD: &[(&str, &[&str])] = &[
    // Usage.
    ("", &["Usage"]),
    ("forge", &["forge"]),
    ("tune --fast", &["--fast"]),
    ("bench gemm", &["--problem"]),
    ("tune --limit 3", &["--limit", "`3` is not a time"]),
    ("tune --budget soon", &["--budget", "soon"]),
    ("tune --spec starter --problem m=1,n=1,k=1,dtype=f32", &["--spec", "--problem"]),
    ("tune --run a --resume b", &["--run", "--resume"]),
    // Ops, devices, variants.
    ("tune conv --device cpu", &["unknown op `conv`", "gemm"]),
    ("check conv --problem m=1 --device cpu", &["unknown op `conv`", "gemm"]),
    ("variants conv", &["unknown op `conv`", "gemm"]),
    ("tune --device gpu", &["unknown device `gpu`", "cpu, cuda:N or wgpu:N"]),
    ("check gemm --problem m=3,n=4,k=5,dtype=f32 --device cuda:99", &["cuda:99"]),
    ("check gemm --problem m=3,n=4,k=5,dtype=f32 --device cpu --candidate fast", &["no variant `fast`", "blocked"]),
    ("bench gemm --problem m=3,n=4,k=5,dtype=f32 --device cpu --vs fast", &["no variant `fast`", "blocked"]),
    ("check gemm --problem m=3,n=4,k=5,dtype=f32 --device cpu --candidate blocked[MC=33]", &["MC=33", "[32, 64, 128]"]),
    (
        "check gemm --problem m=3,n=4,k=5,dtype=f32 --device cpu --candidate blocked[MC",
        &["`blocked[MC` is not a candidate"],
    ),
    ("check gemm --problem m=99,n=4,k=5,dtype=f32 --device cpu --candidate small_m", &["small_m", "m <= 32"]),
    // Problems.
    ("check gemm --problem m=3,n=4,k=5,dtype=f17 --device cpu", &["dtype=f17", "expected f32"]),
    ("check gemm --problem m=3,n=4,k=0,dtype=f32 --device cpu", &["k=0", "from 1 to"]),
    ("tune --problem m=3,n=4,k=0,dtype=f32 --device cpu", &["k=0", "from 1 to"]),
    ("bench gemm --problem m=-3,n=4,k=5,dtype=f32 --device cpu", &["m=-3"]),
    ("check gemm --problem m=3,n=4,k=5,q=6,dtype=f32 --device cpu", &["unknown key `q`", "expected one of"]),
    ("check gemm --problem m=3,n=4,dtype=f32 --device cpu", &["k"]),
    ("check gemm --problem m=3,m=4,n=4,k=5,dtype=f32 --device cpu", &["m"]),
    ("check gemm --problem m=3,n=4,k=5,dtype=f32,layout=xy --device cpu", &["layout=xy"]),
    ("check gemm --problem m=3,n=4,k=5,dtype=f32,epilogue=tan --device cpu", &["tan"]),
    ("check gemm --problem m=99999999999999999999,n=4,k=5,dtype=f32 --device cpu", &["m=99999999999999999999"]),
    (
        "tune --problem m=2147483647,n=2147483647,k=2147483647,dtype=f64 --device cpu",
        &["larger than the address range"],
    ),
    // Over any machine's memory: named before anything is allocated.
    ("check gemm --problem m=2000000,n=2000000,k=9,dtype=f64 --device cpu", &["m=2000000", "GiB", "cpu has"]),
    ("bench gemm --problem m=2000000,n=2000000,k=9,dtype=f64 --device cpu", &["m=2000000", "GiB", "cpu has"]),
    ("tune --problem m=2000000,n=2000000,k=9,dtype=f64 --device cpu", &["m=2000000", "GiB", "cpu has"]),
    ("tune --problem m=3,n=4,k=5,dtype=f32>m=3,n=4,k=5,dtype=f32 --device cpu", &["step 2 takes"]),
    // Files and folders.
    ("tune --spec nowhere --device cpu", &["nowhere", "starter.toml"]),
    ("tune --spec FILE --device cpu", &["FILE:1", "`name` is missing"]),
    ("tune --resume nowhere --device cpu", &["nowhere", "no evidence"]),
    ("variants --kernels nowhere", &["nowhere", "No such file"]),
    ("variants --kernels FILE", &["FILE"]),
    ("compare nowhere nowhere", &["nowhere", "No such file"]),
    ("report nowhere", &["nowhere", "No such file"]),
    ("report", &["runs", "name a run folder"]),
    ("report --all", &["runs", "name a run folder"]),
    ("report --all nowhere", &["--all"]),
    ("regress", &["Usage"]),
    ("regress nowhere", &["--baseline"]),
    ("regress nowhere --baseline FILE", &["nowhere", "No such file"]),
    ("regress nowhere --baseline FILE --write-baseline x", &["--baseline", "--write-baseline"]),
    ("regress nowhere --baseline FILE --before smith", &["--confirm"]),
    ("log nowhere", &["nowhere", "No such file"]),
    ("log --log nowhere/nothing --note x", &["name a run folder"]),
    ("history", &["runs", "name a run folder"]),
    ("history nowhere", &["nowhere", "No such file"]),
    ("bisect a", &["Usage"]),
    ("bisect a b --measure true", &["git", "a^{commit}"]),
    ("bisect a b --measure true --repository nowhere", &["nowhere"]),
    ("bisect a b --measure true --direction up", &["up", "lower"]),
    ("audit", &["--spec"]),
    ("audit --spec nowhere --device cpu", &["nowhere", "starter.toml"]),
    ("audit --spec FILE --device cpu", &["FILE:1", "`name` is missing"]),
    ("audit conv --spec starter --device cpu", &["unknown op `conv`", "gemm"]),
    ("sensitivity --problem m=8", &["m=8"]),
    ("sensitivity --trials 0", &["--trials", "0"]),
    ("tune --live=99999 --device cpu", &["--live", "99999"]),
    ("replay", &["Usage"]),
    ("replay nowhere", &["nowhere", "No such file"]),
    ("replay FILE", &["FILE:1:"]),
    ("replay FILE --strategy clever", &["no strategy `clever`", "annealing"]),
    ("replay FILE --budget 0", &["--budget", "0"]),
    ("tune --strategy clever --device cpu", &["no strategy `clever`", "surrogate"]),
    ("export nowhere", &["nowhere", "No such file"]),
    ("export FILE", &["FILE:1:"]),
    ("import FILE", &["--run"]),
    ("import FILE --run new", &["FILE:1:"]),
    ("import FILE --manifest", &["FILE:1:"]),
];

#[test]
fn bad_input_is_refused_by_name_and_leaves_nothing() {
    let place = Place::new();
    let file = place.write("empty.toml", "");
    for (words, needles) in BAD {
        let words = words.replace("FILE", &file);
        let needles: Vec<String> = needles.iter().map(|n| n.replace("FILE", &file)).collect();
        let args: Vec<&str> = words.split_whitespace().collect();
        let done = place.smith(&args);
        assert_eq!(done.code, Some(2), "smith {words}\n{}{}", done.stdout, done.stderr);
        done.refused(&needles.iter().map(String::as_str).collect::<Vec<_>>());
        let left: Vec<_> = std::fs::read_dir(place.path("work")).unwrap().collect();
        assert!(left.is_empty() && !place.path("tuned").exists(), "smith {words} left {left:?}");
    }
}

#[test]
fn a_bad_spec_is_named_by_file_and_line() {
    let place = Place::new();
    let good = "name = \"t\"\nbudget_s = 1\n[[problems]]\nproblem = \"m={n},n=4,k=5,dtype=f32\"\nn = [4, 8]\n";
    for (from, to, needle) in [
        ("[4, 8]", "[4, 0]", ":4: m=0"),
        ("dtype=f32", "dtype=f17", ":4: dtype=f17"),
        ("n = [4, 8]", "q = [4, 8]", ":4: `q` is not used"),
        ("n = [4, 8]", "n = 4", ":4: `n` must be a list"),
        ("budget_s = 1", "budget_s = 0", ":2: `budget_s` must be"),
        ("name = \"t\"", "name = ", ":1: "),
        ("name = \"t\"", "nome = \"t\"", ":1: unknown key `nome`"),
        ("[4, 8]", "[4, 8", ":"),
        ("m={n}", "m=2000000,n=2000000", "spec.toml"),
    ] {
        let spec = place.write("spec.toml", &good.replace(from, to));
        let needle = if needle.starts_with(':') { format!("{spec}{needle}") } else { needle.to_string() };
        place.smith(&["tune", "--spec", &spec, "--device", "cpu"]).refused(&[&needle]);
    }
    assert!(!place.path("work/runs").exists());
}

#[test]
fn a_bad_manifest_is_named_by_file_and_entry() {
    let place = Place::new();
    let good = "[[variant]]\nname = \"mine\"\nabout = \"x\"\ntarget = \"cpu\"\nsource = \"blocked\"\nsupports = [\"m > 1\"]\nparams = { P = [1, 2] }\ndefault = { P = 1 }\n";
    for (from, to, needle) in [
        ("target = \"cpu\"", "target = \"npu\"", "npu"),
        ("name = \"mine\"\n", "", "name"),
        ("about", "abuot", "abuot"),
        ("\"m > 1\"", "\"m > \"", "supports"),
        ("\"m > 1\"", "\"mm > 1\"", "mm"),
        ("params", "where = [\"PP > 0\"]\nparams", "PP"),
        ("P = 1 }", "P = 3 }", "P"),
        ("P = [1, 2]", "P = [1, ", "manifest.toml"),
    ] {
        let file = place.write("kernels/gemm/manifest.toml", &good.replace(from, to));
        let folder = place.path("kernels").display().to_string();
        for args in [&["variants"][..], &["tune", "--device", "cpu"], &["check", "gemm", "--device", "cpu"]] {
            let args = [args, &["--problem", PROBLEM, "--kernels", &folder]].concat();
            place.smith(&args).refused(&[&file, needle]);
        }
    }
    assert!(!place.path("work/runs").exists());
}

#[test]
fn an_overlay_replaces_variants_of_the_same_name_and_adds_others() {
    let place = Place::new();
    let names = |args: &[&str]| -> Vec<(String, String)> {
        let lines = place.smith(&[&["variants", "gemm", "--json"], args].concat()).expect(0).json();
        let text = |v: &serde_json::Value, key: &str| v[key].as_str().unwrap().to_string();
        lines.iter().filter(|v| v["target"] == "cpu").map(|v| (text(v, "variant"), text(v, "about"))).collect()
    };
    let (built_in, folder) = (names(&[]), kernels("sound-kernels"));
    let overlaid = names(&["--kernels", &folder]);
    for (name, about) in &built_in {
        let now: Vec<&String> = overlaid.iter().filter(|v| v.0 == *name).map(|v| &v.1).collect();
        assert_eq!(now.len(), 1, "{name} is there once");
        assert_ne!(now[0], about, "{name} is the overlay's");
    }
    assert_eq!(overlaid.len(), built_in.len() + 2);
    // The environment says it as well as the option does.
    let lines = place.smith_with(
        "KERNELSMITH_KERNELS",
        &folder,
        &["variants", "gemm", "--problem", PROBLEM, "--device", "cpu", "--json"],
    );
    let lines = lines.expect(0).json();
    let able: Vec<&str> =
        lines.iter().filter(|v| v["capable"] == true).map(|v| v["variant"].as_str().unwrap()).collect();
    assert_eq!(able, ["fault_writes_nothing", "sound", "gemm_crate"]);
    for gap in lines.iter().filter(|v| v["capable"] == false) {
        assert!(gap["reason"].as_str().unwrap().contains("m < 0"), "{gap}");
    }
}

/// Where there is no CUDA one line says so and the CPU does the work; asking for it is an error.
/// On a machine with CUDA the same commands must reach it.
#[test]
fn a_machine_without_cuda_says_so_and_goes_on() {
    let place = Place::new();
    let devices = place.smith(&["devices", "--json"]).expect(0).json();
    assert_eq!(devices.iter().filter(|d| d["device"] == "cpu").count(), 1);
    let here = devices.iter().any(|d| d["device"] == "cuda:0");
    let problem = "m=33,n=40,k=57,dtype=f32,layout=nn";
    let done = place.smith(&["variants", "gemm", "--problem", problem]).expect(0);
    let asked = place.smith(&["variants", "gemm", "--problem", problem, "--device", "cuda:0"]);
    if here {
        assert!(done.stdout.contains("on cuda:0"), "{}", done.stdout);
        asked.expect(0);
        return;
    }
    assert!(done.stdout.contains(&format!("{problem} on cpu")), "{}", done.stdout);
    assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
    assert!(done.stderr.starts_with("cuda: ") && done.stderr.contains("going on with the CPU"), "{}", done.stderr);
    asked.refused(&["cuda:0 is not available"]);
    let tune = ["tune", "--problem", PROBLEM, "--device", "cuda:0"];
    place.smith(&tune).refused(&["cuda:0 is not available"]);
    assert!(!place.path("work/runs").exists());
    // The reason is said without a device asked for, too.
    let missing: Vec<_> = devices.iter().filter(|d| d["device"].is_null()).collect();
    assert!(missing[0]["missing"].as_str().unwrap().starts_with("cuda"), "{missing:?}");
    assert!(missing[1..].iter().all(|d| d["missing"].as_str().unwrap().starts_with("wgpu")), "{missing:?}");
}
