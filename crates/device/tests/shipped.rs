//! The tuned tables that ship: every entry is of a candidate that exists, can take its problem,
//! and was measured with the sources that ship beside it.

use kernelsmith_core::Problem;
use kernelsmith_kernels::tuned::{Match, TunedTable};
use kernelsmith_kernels::{Candidate, Catalogue, DeviceFacts, embedded, render};

#[test]
fn the_h200_table_is_complete_and_fresh() {
    let facts = DeviceFacts::h200();
    let catalogue = Catalogue::builtin().unwrap();
    assert!(embedded::TUNED.iter().any(|(n, _)| *n == "nvidia-h200.toml"), "no table ships for the H200");
    let table = TunedTable::load(&facts, None).unwrap();
    assert!(table.len() > 100);
    let mut stale = Vec::new();
    for entry in table.entries() {
        let problem = Problem::parse(&entry.op, &entry.problem).unwrap();
        let candidate: Candidate = entry.candidate.parse().unwrap();
        let variant =
            catalogue.admit(&candidate, &problem, &facts).unwrap_or_else(|e| panic!("{}: {e}", entry.problem));
        if variant.source.contains('.') {
            let rendered = render::cuda(&catalogue, &variant, &candidate.config, &problem, &facts).unwrap();
            if variant.source_hash(&rendered) != entry.source_hash {
                stale.push(format!("{} on {}", entry.candidate, entry.problem));
            }
        }
        assert!(entry.error <= 1.0 && entry.us > 0.0, "{}: error {} in {} µs", entry.problem, entry.error, entry.us);
    }
    assert!(stale.is_empty(), "tune again, the sources of these changed:\n{}", stale.join("\n"));
    let known = Problem::parse("gemm", "m=1,n=896,k=4864,dtype=f16,layout=nt").unwrap();
    assert_eq!(table.lookup(&known, "cold")[0].how, Match::Exact);
}
