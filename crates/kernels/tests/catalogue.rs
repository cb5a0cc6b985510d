//! Manifests, capability, spaces, geometry and rendering, over the built-in catalogue and over
//! damaged ones.

use kernelsmith_core::Problem;
use kernelsmith_kernels::geometry::Arg;
use kernelsmith_kernels::{Catalogue, DeviceFacts, Target, manifest, render};
use proptest::prelude::*;

const TMA: &str = r#"
[[variant]]
name = "tma"
about = "x"
target = "cuda"
source = "tma.cu"
requires = "device.cc >= 90"
supports = ["dtype in ['f16','bf16']", "k % 8 == 0", "a.align >= 16"]
params = { BM = [64, 128], STAGES = [2, 3] }
let = { shared = "STAGES * BM * 128", twice = "shared * 2" }
where = ["twice <= device.shared_max", "BM * STAGES != 192"]
default = { BM = 128, STAGES = 2 }
[[variant.launch]]
entry = "gemm"
grid = ["cdiv(m, BM)", "batch"]
block = "384"
cluster = ["2", "1", "1"]
shared = "shared"
when = "m > 1"
args = [{ tensor_map = "a", box = ["64", "BM"], swizzle = 128 }, { matrix = "b" }, { matrix = "c" }, { buffer = "d" }, { i32 = "k" }, { acc = "alpha" }, { epilogue = true }, { workspace = "m * 4" }, { counters = "3" }]
"#;

fn parse(text: &str) -> Result<Vec<manifest::Variant>, manifest::ManifestError> {
    manifest::parse("gemm", "m.toml", text, &|s| (s == "tma.cu").then(|| "// body\n".to_string()))
}

fn gemm(text: &str) -> Problem {
    Problem::parse("gemm", text).unwrap()
}

#[test]
fn a_manifest_becomes_launches() {
    let v = parse(TMA).unwrap().remove(0);
    let facts = DeviceFacts::h200();
    let p = gemm("m=200,n=32,k=64,dtype=f16,epilogue=bias");
    let space = v.space(&p, &facts).unwrap();
    let names: Vec<String> = space.iter().map(|c| c.to_string()).collect();
    assert_eq!(names, ["BM=64,STAGES=2", "BM=128,STAGES=2", "BM=128,STAGES=3"]);
    let launch = v.launches(&space[1], &p, &facts).unwrap().remove(0);
    assert_eq!((launch.grid, launch.block, launch.cluster), ([2, 1, 1], [384, 1, 1], Some([2, 1, 1])));
    assert_eq!(launch.shared, 2 * 128 * 128);
    let Arg::TensorMap(map) = &launch.args[0] else { panic!("{:?}", launch.args[0]) };
    assert_eq!(
        (map.dims.as_slice(), map.strides.as_slice(), map.box_sizes.as_slice()),
        (&[64, 200][..], &[128][..], &[64, 128][..])
    );
    let Arg::Matrix(c) = &launch.args[2] else { panic!() };
    assert_eq!(c.operand, None, "C is a null pointer without beta");
    let Arg::Epilogue(e) = &launch.args[6] else { panic!() };
    assert_eq!(e[0].strides, [0, 0, 1]);
    assert_eq!(launch.args[7..], [Arg::Workspace(800), Arg::Counters(3)]);
    let one = gemm("m=1,n=32,k=64,dtype=f16");
    assert!(v.launches(&space[1], &one, &facts).unwrap().is_empty(), "`when` was ignored");
}

/// A packed operand's descriptor is of the workspace, with the strides that the manifest says.
#[test]
fn a_packed_operand_is_read_from_the_workspace() {
    use kernelsmith_kernels::geometry::Memory;
    let catalogue = Catalogue::builtin().unwrap();
    let v = catalogue.variant("gemm", Target::Cuda, "wgmma_packed").unwrap();
    let facts = DeviceFacts::h200();
    let p = gemm("batch=2,m=300,n=200,k=101,dtype=f16,layout=tn,a=5@30500:1:303");
    let launches = v.launches(&v.default, &p, &facts).unwrap();
    assert_eq!(launches.iter().map(|l| l.entry.as_str()).collect::<Vec<_>>(), ["pack", "gemm"]);
    assert_eq!(launches[0].grid, [2, 5 + 4, 2]);
    assert_eq!(launches[0].args[2], Arg::Workspace((300 + 200) * 104 * 2 * 2));
    let map = |i: usize| match &launches[1].args[i] {
        Arg::TensorMap(map) => map.clone(),
        other => panic!("{other:?}"),
    };
    let (a, b) = (map(0), map(1));
    assert_eq!((a.memory, a.byte_offset), (Memory::Workspace, 0));
    assert_eq!((a.dims, a.strides, a.box_sizes), (vec![101, 300, 2], vec![208, 300 * 208], vec![64, 128, 1]));
    assert_eq!((b.memory, b.byte_offset), (Memory::Workspace, 300 * 208 * 2));
    assert_eq!((b.dims, b.strides), (vec![101, 200, 2], vec![208, 200 * 208]));
    assert_eq!(map(2).memory, Memory::Operand(2));
    // What `wgmma` reads itself is not packed, and the other way round.
    let wgmma = catalogue.variant("gemm", Target::Cuda, "wgmma").unwrap();
    for (text, packed) in [
        ("m=512,n=512,k=512,dtype=f16", false),
        ("m=512,n=511,k=512,dtype=f16,layout=nn", true),
        ("m=512,n=512,k=511,dtype=bf16,layout=nt", true),
        ("m=512,n=512,k=512,dtype=f16,a=0@0:1024:2", true),
        ("m=512,n=512,k=512,dtype=f16,a=261632@0:-512:1", true),
    ] {
        let able =
            |v: &manifest::Variant| catalogue.capable(&gemm(text), &facts).unwrap().0.iter().any(|c| c.name == v.name);
        assert_eq!((able(v), able(wgmma)), (packed, !packed), "{text}");
        if packed {
            assert!((1..=200).contains(&v.space(&gemm(text), &facts).unwrap().len()), "{text}");
        }
    }
}

/// What the driver asks of a descriptor: no empty dimension, strides that are positive multiples of 16 bytes.
#[test]
fn tensor_maps_of_odd_views_are_valid_descriptors() {
    let text = TMA
        .replace("k % 8 == 0\", \"a.align >= 16\"", "true\"")
        .replace("box = [\"64\", \"BM\"], swizzle = 128", "box = [\"64\", \"BM\", \"1\"], swizzle = 128, tf32 = true")
        .replace("m > 1", "true");
    let v = parse(&text).unwrap().remove(0);
    let map = |problem: &str| {
        let launch = v.launches(&v.default, &gemm(problem), &DeviceFacts::h200()).unwrap().remove(0);
        let Arg::TensorMap(map) = launch.args[0].clone() else { panic!("{:?}", launch.args[0]) };
        assert!(map.tf32);
        (map.dims, map.strides)
    };
    // k = 1: A is contiguous along m, as its layout class says, and its other strides do not matter.
    assert_eq!(map("m=24,n=8,k=1,dtype=f16"), (vec![24, 1, 1], vec![48, 48]));
    assert_eq!(map("batch=3,m=1,n=8,k=64,dtype=f16,a=0@64:64:1"), (vec![64, 1, 3], vec![128, 128]));
    // One matrix for the whole batch has a single index there.
    assert_eq!(map("batch=3,m=16,n=8,k=64,dtype=f16,a=0@0:72:1"), (vec![64, 16, 1], vec![144, 2304]));
    let refused = v.launches(&v.default, &gemm("m=16,n=8,k=64,dtype=f16,a=0@0:65:1"), &DeviceFacts::h200());
    assert!(refused.unwrap_err().to_string().contains("multiple of 16 bytes"));
}

#[test]
fn bad_manifests_say_where_and_what() {
    let change = |from: &str, to: &str| {
        assert!(TMA.contains(from), "{from}");
        parse(&TMA.replacen(from, to, 1)).map(|_| ()).unwrap_err().to_string()
    };
    for (from, to, needle) in [
        ("about = \"x\"", "abuot = \"x\"", "m.toml:4: variant `tma`: unknown key `abuot`"),
        ("target = \"cuda\"", "target = \"metal\"", "m.toml:5: variant `tma`: target `metal`"),
        ("k % 8 == 0", "k % 8 == ", "m.toml:8: variant `tma`: `supports`: expression `k % 8 == `"),
        ("BM = [64, 128]", "BM = []", "m.toml:9"),
        ("default = { BM = 128", "default = { BM = 100", "m.toml:12"),
        ("tma.cu", "gone.cu", "source `gone.cu` was not found"),
        ("{ i32 = \"k\" }", "{ i33 = \"k\" }", "unknown argument kind `i33`"),
        ("swizzle = 128", "swizzle = 100", "swizzle 100"),
        ("name = \"tma\"", "name = ", "m.toml:3"),
        ("[[variant]]", "[[variants]]", "unknown key `variants`"),
        ("grid = ", "gird = ", "unknown key `gird` in a launch"),
        ("block = \"384\"", "block = true", "`block` must be an expression"),
    ] {
        let error = change(from, to);
        assert!(error.contains(needle), "{from} -> {to}: {error}");
    }
    assert!(parse(&format!("{TMA}{TMA}")).unwrap_err().to_string().contains("twice"));
}

proptest! {
    #[test]
    fn a_damaged_manifest_never_panics(at in 0usize..TMA.len(), byte in 32u8..127) {
        let mut bytes = TMA.as_bytes().to_vec();
        bytes[at] = byte;
        let text = String::from_utf8(bytes).unwrap();
        if let Ok(variants) = parse(&text) {
            let p = gemm("m=200,n=32,k=64,dtype=f16,epilogue=bias");
            for v in variants {
                for c in v.space(&p, &DeviceFacts::h200()).unwrap_or_default() {
                    let _ = v.launches(&c, &p, &DeviceFacts::h200());
                }
            }
        }
        let _ = parse(&TMA[..at]);
    }
}

const PROBLEMS: [&str; 14] = [
    "m=1,n=9728,k=896,dtype=f16,layout=nt",
    "m=4096,n=4096,k=4096,dtype=f32",
    "m=64,n=64,k=64,dtype=f64,layout=tt",
    "batch=14,m=1,n=64,k=67,dtype=f16",
    "m=256,n=256,k=256,dtype=f32,compute=tf32,layout=tn",
    "m=8192,n=8192,k=8192,dtype=f32,compute=f32x3",
    "batch=3,m=33,n=129,k=65,dtype=f32,compute=f32x3,layout=tt,d=0@4300:1:33",
    "m=8192,n=8192,k=8192,dtype=bf16,inputs=e4m3,compute=fast,layout=nt",
    "batch=2,m=200,n=300,k=400,dtype=f32,inputs=e5m2:e4m3,layout=nt,epilogue=bias+gelu",
    "m=100,n=33,k=77,dtype=f16,inputs=e4m3,layout=tn",
    "m=7,n=13,k=5,dtype=bf16,epilogue=bias+gelu+residual,beta=1.0",
    "m=1,n=151936,k=896,dtype=f16,layout=nt",
    "m=9,n=17,k=33,dtype=f32,a=3@0:80:2,d=1@0:1:9",
    "batch=70000,m=2,n=2,k=2,dtype=f32",
];

#[test]
fn every_builtin_cuda_candidate_has_a_geometry_and_source() {
    let catalogue = Catalogue::builtin().unwrap();
    let facts = DeviceFacts::h200();
    for text in PROBLEMS {
        let p = gemm(text);
        let (able, gaps) = catalogue.capable(&p, &facts).unwrap();
        assert!(!able.is_empty(), "nothing runs {text}: {gaps:?}");
        for v in able.iter().filter(|v| v.source.contains('.')) {
            let space = v.space(&p, &facts).unwrap();
            assert!(!space.is_empty(), "{} says it supports {text} and has no config for it", v.name);
            assert!(space.len() <= 200, "{} has {} configs on {text}", v.name, space.len());
            for config in &space {
                let launches = v.launches(config, &p, &facts).unwrap();
                assert!(!launches.is_empty(), "{}[{config}] launches nothing on {text}", v.name);
            }
            let rendered = render::cuda(&catalogue, v, &space[0], &p, &facts).unwrap();
            assert!(rendered.source.contains("constexpr int A_VEC ="));
            assert!(rendered.headers.iter().any(|(n, _)| n == "gemm.cuh"));
        }
    }
}

#[test]
fn sliced_keeps_to_small_products_with_a_small_space() {
    let catalogue = Catalogue::builtin().unwrap();
    let facts = DeviceFacts::h200();
    let v = catalogue.variant("gemm", Target::Cuda, "sliced").unwrap();
    let able = |text: &str| catalogue.capable(&gemm(text), &facts).unwrap().0.iter().any(|v| v.name == "sliced");
    for text in [
        "m=256,n=128,k=784,dtype=f32,layout=nt,epilogue=bias+relu",
        "m=128,n=784,k=256,dtype=f32,layout=tn",
        "m=10,n=128,k=256,dtype=f32,layout=tn",
        "m=256,n=10,k=128,dtype=f32,layout=nt,epilogue=bias",
        "m=1,n=8448,k=64,dtype=f32",
        "m=8448,n=1,k=64,dtype=f32",
        "batch=528,m=8,n=8,k=64,dtype=f32",
        "m=128,n=128,k=4096,dtype=f32,layout=tt",
        "m=256,n=128,k=10,dtype=f32",
    ] {
        let p = gemm(text);
        let space = v.space(&p, &facts).unwrap();
        assert!(able(text) && (1..=40).contains(&space.len()), "{} configs on {text}", space.len());
        for config in &space {
            let launch = &v.launches(config, &p, &facts).unwrap()[0];
            assert!(launch.overlap && launch.grid.iter().product::<u32>() <= 528, "{config} on {text}");
        }
    }
    for text in ["m=1024,n=1024,k=64,dtype=f32", "m=256,n=128,k=784,dtype=f16"] {
        assert!(!able(text), "{text}");
    }
}

#[test]
fn parts_of_f32_cover_whole_tiles_and_share_one_workspace() {
    let catalogue = Catalogue::builtin().unwrap();
    let facts = DeviceFacts::h200();
    let p = gemm("batch=2,m=200,n=100,k=65,dtype=f32,compute=f32x3,layout=tn");
    let v = catalogue.variant("gemm", Target::Cuda, "wgmma_f32x3").unwrap();
    for config in v.space(&p, &facts).unwrap() {
        let launches = v.launches(&config, &p, &facts).unwrap();
        let [split, product] = &launches[..] else { panic!("{} launches", launches.len()) };
        assert_eq!((split.entry.as_str(), product.entry.as_str()), ("split", "gemm"));
        let get = |name| config.get(name).unwrap() as usize;
        let rows = 200usize.next_multiple_of(get("BM") * get("CLUSTER_M"))
            + 100usize.next_multiple_of(get("BN") * get("CLUSTER_N"));
        // Three steps of 32 k, three parts of two bytes.
        let parts = Arg::Workspace(2 * rows * 3 * 32 * 3 * 2);
        assert!(split.args.contains(&parts) && product.args.contains(&parts), "{config}: {split:?}");
        assert_eq!((split.grid, split.overlap), ([2, rows as u32 / 64, 2], false));
    }
    // Any f32 product will do: elsewhere it is a plain one.
    let cpu = || DeviceFacts { target: Target::Cpu, cc: 0, sms: 0, ..DeviceFacts::h200() };
    for (facts, name) in [(cpu(), "blocked"), (cpu(), "tiled"), (facts, "simt")] {
        let (able, _) = catalogue.capable(&p, &facts).unwrap();
        assert!(able.iter().any(|v| v.name == name), "{name}");
    }
}

#[test]
fn sums_in_matrix_units_are_for_those_who_ask() {
    let catalogue = Catalogue::builtin().unwrap();
    let facts = DeviceFacts::h200();
    let able = |text: &str| -> Vec<String> {
        let (able, _) = catalogue.capable(&gemm(text), &facts).unwrap();
        able.iter().map(|v| v.name.clone()).collect()
    };
    let base = "m=64,n=64,k=64,dtype=bf16,inputs=e4m3,layout=nt";
    assert_eq!(able(base), ["cublaslt", "wgmma_fp8", "naive_fp8"]);
    assert_eq!(able(&format!("{base},compute=fast")), ["cublaslt", "wgmma_fp8", "wgmma_fp8_fast", "naive_fp8"]);
    // Operands along m or n, and of odd alignment, are left to the simple one.
    assert_eq!(able("m=64,n=64,k=64,dtype=bf16,inputs=e4m3,layout=nn"), ["naive_fp8"]);
    assert_eq!(able("m=64,n=64,k=65,dtype=bf16,inputs=e4m3,layout=nt"), ["naive_fp8"]);
    let cpu = DeviceFacts { target: Target::Cpu, cc: 0, sms: 0, ..DeviceFacts::h200() };
    let (able, _) = catalogue.capable(&gemm(base), &cpu).unwrap();
    assert_eq!(able.iter().map(|v| v.name.as_str()).collect::<Vec<_>>(), ["fp8"]);
}

#[test]
fn the_overlay_replaces_a_variant_by_name_and_adds_others() {
    let folder = tempfile::tempdir().unwrap();
    let op = folder.path().join("gemm");
    std::fs::create_dir(&op).unwrap();
    std::fs::write(op.join("tma.cu"), "// mine\n").unwrap();
    let text = format!("{TMA}{}", TMA.replace("\"tma\"", "\"naive\""));
    std::fs::write(op.join("manifest.toml"), text).unwrap();
    let before = Catalogue::builtin().unwrap();
    let after = Catalogue::builtin().unwrap().overlay(folder.path()).unwrap();
    assert_eq!(after.all().len(), before.all().len() + 1);
    assert_eq!(after.variant("gemm", Target::Cuda, "naive").unwrap().text, "// mine\n");
    let missing = Catalogue::builtin().unwrap().overlay(&folder.path().join("gone")).unwrap_err().to_string();
    assert!(missing.contains("gone"), "{missing}");
}

#[test]
fn the_predicate_of_search_and_dispatch_is_one() {
    let catalogue = Catalogue::builtin().unwrap();
    let facts = DeviceFacts::h200();
    let (yes, no) = (gemm("m=8,n=64,k=64,dtype=f16,layout=nt"), gemm("m=9,n=64,k=64,dtype=f16,layout=nt"));
    let v = catalogue.variant("gemm", Target::Cuda, "small_m").unwrap();
    let config = v.space(&yes, &facts).unwrap().remove(0);
    let candidate = kernelsmith_kernels::Candidate { variant: "small_m".into(), config: config.clone() };
    assert!(catalogue.admit(&candidate, &yes, &facts).is_ok());
    let refusal = catalogue.admit(&candidate, &no, &facts).unwrap_err().to_string();
    assert!(refusal.contains("m <= 8"), "{refusal}");
    let (_, gaps) = catalogue.capable(&no, &facts).unwrap();
    assert!(gaps.iter().any(|g| g.variant == "small_m" && g.reason.contains("m <= 8")), "{gaps:?}");
    let (name, _) = config.iter().next().unwrap();
    let odd = kernelsmith_kernels::Candidate { variant: "small_m".into(), config: config.with(name, 77) };
    assert!(catalogue.admit(&odd, &yes, &facts).unwrap_err().to_string().contains("expected one of"));
}

#[test]
fn a_changed_launch_section_changes_the_source_hash_and_its_spacing_does_not() {
    let problem = gemm("m=200,n=32,k=64,dtype=f16");
    let facts = DeviceFacts::h200();
    let catalogue = Catalogue::builtin().unwrap();
    let hash = |text: &str| {
        let variant = parse(text).unwrap().remove(0);
        let rendered = render::cuda(&catalogue, &variant, &variant.default, &problem, &facts).unwrap();
        variant.source_hash(&rendered)
    };
    let declared = hash(TMA);
    for (from, to) in [("block = \"384\"", "block = \"256\""), ("BM * 128\"", "BM * 256\""), ("\"m > 1\"", "\"m > 2\"")]
    {
        let changed = TMA.replace(from, to);
        assert_ne!(changed, TMA);
        assert_ne!(hash(&changed), declared, "{to}");
    }
    assert_eq!(hash(&TMA.replace("entry = ", "# the kernel\nentry   = ")), declared);
}

/// Sizes from one element to the largest that the bars name, contiguous and not.
const SPACES: [(&str, &str); 19] = [
    ("map", "shape=scalar,expr=0.1,out=f32"),
    ("map", "shape=268435456,expr=add(x0,x1),x0=f16,x1=f16,out=f16"),
    ("map", "shape=100000,expr=gelu(x0),x0=f32@1:1,out=f32"),
    ("map", "shape=4096x4096,expr=x0,x0=f32@0:1:4096,out=f32"),
    ("reduce", "kind=sum,outer=scalar,inner=268435456,x0=f32,out=f32"),
    ("reduce", "kind=sum,outer=scalar,inner=1048576,x0=f16,out=f32"),
    ("reduce", "kind=argmax,outer=256,inner=10,x0=f32,out=i32"),
    ("reduce", "kind=sum,outer=784,inner=60000,x0=f32@0:1:784,out=f32"),
    ("reduce", "kind=sum,outer=8192,inner=8192,x0=f64,out=f64"),
    ("row", "kind=softmax,rows=8192,columns=32768,x0=f32,out=f32"),
    ("row", "kind=softmax,rows=32768,columns=1024,x0=f16,out=f16"),
    ("row", "kind=layer_norm,rows=4096,columns=4096,eps=1e-5,x0=f64,out=f64"),
    ("row", "kind=cross_entropy,rows=256,columns=10,label=1,x0=f32,x1=i32@0:1:0,out=f32"),
    ("row", "kind=rms_norm,rows=3,columns=1000003,x0=f32,out=f32"),
    ("gather", "shape=256x784,axis=0,size=60000,x=f32,index=i32@0:1:0,out=f32"),
    ("gather", "shape=1,axis=0,size=1,x=f32,index=i32,out=f32"),
    ("scatter_add", "shape=8192x896,axis=0,size=151936,x=bf16,index=i32@0:1:0,out=bf16"),
    ("scatter_add", "shape=1048576,axis=0,size=60000,x=f32,index=i32,out=f32"),
    ("row", "kind=softmax,rows=5,columns=33000,x0=f16@1:33001:1,out=f64"),
];

#[test]
fn ops_over_index_spaces_have_small_spaces_and_geometries() {
    let catalogue = Catalogue::builtin().unwrap();
    let facts = DeviceFacts::h200();
    for (op, text) in SPACES {
        let p = Problem::parse(op, text).unwrap();
        let (able, gaps) = catalogue.capable(&p, &facts).unwrap();
        let mut candidates = 0;
        for v in &able {
            let space = v.space(&p, &facts).unwrap();
            assert!(space.len() <= 200, "{} has {} configs on {text}", v.name, space.len());
            for config in &space {
                let launches = v.launches(config, &p, &facts).unwrap();
                assert!(launches.iter().all(|l| l.overlap), "{op} {} does not overlap", v.name);
            }
            if let Some(config) = v.fallback(&p, &facts).unwrap() {
                println!(
                    "{op} {text}: {}[{config}] of {}: {:?}",
                    v.name,
                    space.len(),
                    v.launches(&config, &p, &facts).unwrap()[0].grid
                );
            }
            candidates += space.len();
        }
        assert!(candidates > 0, "nothing runs {op} {text}: {gaps:?}");
    }
}

/// Who takes an attention, and with how many blocks.
#[test]
fn attention_is_taken_by_matrix_units_where_they_can() {
    let catalogue = Catalogue::builtin().unwrap();
    let facts = DeviceFacts::h200();
    for (text, names) in [
        ("batch=4,heads=16,queries=2048,keys=2048,head=128,dtype=f16,causal=1", &["flash", "general"][..]),
        ("heads=32,kv_heads=8,queries=1,keys=4096,head=128,dtype=bf16,order=bshd", &["split", "flash", "general"]),
        ("heads=3,queries=1,keys=40,head=96,dtype=f16", &["flash", "general"]),
        ("heads=3,queries=1,keys=40,head=128,dtype=f32", &["split", "general"]),
        ("heads=2,queries=70,keys=70,head=256,dtype=f16", &["flash", "general"]),
        ("heads=2,queries=70,keys=70,head=272,dtype=f16", &["general"]),
        ("heads=2,queries=70,keys=70,head=72,dtype=f16", &["general"]),
        ("heads=2,queries=70,keys=70,head=64,dtype=f32", &["general"]),
        ("heads=2,queries=70,keys=70,head=64,dtype=f16,scale=-1.0", &["general"]),
        ("heads=2,queries=70,keys=70,head=64,dtype=f16,k=4@0:4480:64:1", &["general"]),
        ("heads=2,queries=70,keys=70,head=64,dtype=f16,v=0@0:4480:1:70", &["general"]),
        ("heads=2,queries=70,keys=70,head=1025,dtype=f16", &[]),
    ] {
        let p = Problem::parse("attention", text).unwrap();
        let (able, gaps) = catalogue.capable(&p, &facts).unwrap();
        assert_eq!(able.iter().map(|v| v.name.as_str()).collect::<Vec<_>>(), names, "{text}: {gaps:?}");
        for v in able {
            let space = v.space(&p, &facts).unwrap();
            assert!((1..=150).contains(&space.len()), "{} has {} configs on {text}", v.name, space.len());
            for config in space {
                let launch = v.launches(&config, &p, &facts).unwrap().remove(0);
                assert!(launch.shared <= facts.shared_max as u32, "{config}");
                let Arg::Matrix(q) = &launch.args[0] else { panic!("{:?}", launch.args[0]) };
                assert_eq!(q.strides.len(), 4);
            }
        }
    }
    let p = Problem::parse("attention", "batch=3,heads=16,queries=300,keys=300,head=64,dtype=f16").unwrap();
    let v = catalogue.variant("attention", Target::Cuda, "flash").unwrap();
    assert_eq!(v.launches(&v.default, &p, &facts).unwrap()[0].grid, [3 * 16 * 3, 1, 1]);
}

/// What a launch ahead may still write must be read after the wait for it. Loads of memory that counts as constant
/// for the whole launch have no place behind a wait: the assembler was seen to move them ahead of it.
#[test]
fn a_launch_that_overlaps_reads_nothing_as_constant() {
    let catalogue = Catalogue::builtin().unwrap();
    // What turns into such loads, and the functions that are made of them.
    let constant = ["ld.global.nc", "__ldg", "__restrict__", "load_cached<", "load_stream<", "load_pieces<"];
    let of_functions = "memory.cuh";
    let mut overlapping = 0;
    for op in ["gemm", "map", "reduce", "row", "gather", "scatter_add"] {
        for variant in catalogue.variants(op, Target::Cuda).filter(|v| v.launches.iter().any(|l| l.overlap)) {
            overlapping += 1;
            let found = constant.iter().find(|c| variant.text.contains(*c));
            assert_eq!(found, None, "{op} {}", variant.name);
        }
    }
    assert!(overlapping >= 12, "{overlapping}");
    for (name, text) in catalogue.headers().iter().filter(|(n, _)| n.ends_with(".cuh") && *n != of_functions) {
        let found = constant.iter().find(|c| text.contains(*c));
        assert_eq!(found, None, "{name}");
    }
}

/// `tools/sanitize.sh` says that it runs each CUDA variant under the sanitizer: its problems must reach them.
#[test]
fn the_sanitizers_problems_reach_every_cuda_variant() {
    let script = include_str!("../../../tools/sanitize.sh");
    let list = script.split_once("<<'END'\n").unwrap().1.split_once("\nEND").unwrap().0;
    let catalogue = Catalogue::builtin().unwrap();
    let facts = DeviceFacts::h200();
    let mut reached = std::collections::BTreeSet::new();
    for line in list.lines() {
        let [_, op, problem] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("`{line}`: name, op, problem") };
        let problem = Problem::parse(op, problem).unwrap_or_else(|e| panic!("{e}"));
        let able = catalogue.capable(&problem, &facts).unwrap().0;
        let runs = able.iter().filter(|v| !v.space(&problem, &facts).unwrap().is_empty());
        reached.extend(runs.map(|v| (v.op.clone(), v.name.clone())));
    }
    let all = kernelsmith_core::ops::OPS.iter().flat_map(|entry| catalogue.variants(entry.name, Target::Cuda));
    let ours = all.filter(|v| v.source.contains('.'));
    let missed: Vec<String> = ours
        .filter(|v| !reached.contains(&(v.op.clone(), v.name.clone())))
        .map(|v| format!("{} {}", v.op, v.name))
        .collect();
    assert!(missed.is_empty(), "no problem of tools/sanitize.sh reaches {}", missed.join(", "));
}
