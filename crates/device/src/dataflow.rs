//! Which launches of a list may run side by side: those whose memory does not touch.
//!
//! Launches go to a few lanes. A lane runs in order; a launch waits for those in other lanes that
//! wrote what it reads, or used what it writes, and no others (vector clocks, Lamport 1978,
//! Mattern 1989, tell which of them a lane has waited for already).

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    pub from: u64,
    pub to: u64,
}

impl Region {
    fn overlaps(&self, other: &Region) -> bool {
        self.from < other.to && other.from < self.to
    }

    fn holds(&self, other: &Region) -> bool {
        self.from <= other.from && other.to <= self.to
    }
}

/// What one launch touches.
#[derive(Clone, Debug, Default)]
pub struct Access {
    pub reads: Vec<Region>,
    /// What it writes, scratch memory included.
    pub writes: Vec<Region>,
}

/// The operands of a launch that no launch of its list writes: what they hold is there before the first of them
/// starts, so a launch may read them before those ahead of it have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled(u64);

impl Settled {
    pub const NONE: Settled = Settled(0);

    pub fn has(self, operand: usize) -> bool {
        operand < 64 && self.0 >> operand & 1 == 1
    }

    pub fn without(self, operand: usize) -> Settled {
        Settled(self.0 & !(1 << operand))
    }
}

/// What is settled for each launch of a list. `reads` of an [`Access`] are the operands in order.
pub fn settled(launches: &[Access]) -> Vec<Settled> {
    let mut writes: Vec<Region> = launches.iter().flat_map(|l| l.writes.iter().copied()).collect();
    writes.sort_unstable_by_key(|w| w.from);
    // Those that touch become one, so that their ends are in order too.
    let mut apart: Vec<Region> = Vec::new();
    for write in writes {
        match apart.last_mut() {
            Some(last) if write.from <= last.to => last.to = last.to.max(write.to),
            _ => apart.push(write),
        }
    }
    let written = |read: &Region| {
        let next = apart.partition_point(|w| w.to <= read.from);
        apart.get(next).is_some_and(|w| w.overlaps(read))
    };
    let of = |launch: &Access| {
        let bit = |(i, read): (usize, &Region)| if i < 64 && !written(read) { 1 << i } else { 0 };
        Settled(launch.reads.iter().enumerate().map(bit).sum())
    };
    launches.iter().map(of).collect()
}

/// Lanes at most.
pub const LANES: usize = 4;

/// Where a launch runs and what it waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub lane: usize,
    /// Earlier launches in other lanes.
    pub waits: Vec<usize>,
}

/// A region with who touched it last.
struct Touched {
    region: Region,
    writer: Option<usize>,
    readers: Vec<usize>,
}

/// Places for launches that are to have the effect of running in this order.
pub fn schedule(launches: &[Access]) -> Vec<Place> {
    let mut touched: Vec<Touched> = Vec::new();
    let mut places: Vec<Place> = Vec::with_capacity(launches.len());
    // One past the last launch of each lane, and how far each lane has waited for every other.
    let mut tails = [0usize; LANES];
    let mut clocks = [[0usize; LANES]; LANES];
    let mut after: Vec<[usize; LANES]> = Vec::with_capacity(launches.len());
    for (i, access) in launches.iter().enumerate() {
        let mut needs: Vec<usize> = Vec::new();
        for t in &touched {
            let written = access.writes.iter().any(|w| w.overlaps(&t.region));
            if written || access.reads.iter().any(|r| r.overlaps(&t.region)) {
                needs.extend(t.writer);
            }
            if written {
                needs.extend(&t.readers);
            }
        }
        needs.sort_unstable();
        needs.dedup();
        // Behind the latest that it needs where that one is its lane's last, else where most time has passed.
        let follows = needs.iter().rev().find(|n| tails[places[**n].lane] == **n + 1).map(|n| places[*n].lane);
        let lane = follows.unwrap_or_else(|| (0..LANES).min_by_key(|l| tails[*l]).unwrap_or(0));
        let mut waits = Vec::new();
        for &need in needs.iter().rev() {
            let other = places[need].lane;
            if other == lane || clocks[lane][other] > need {
                continue;
            }
            waits.push(need);
            for l in 0..LANES {
                clocks[lane][l] = clocks[lane][l].max(after[need][l]);
            }
        }
        tails[lane] = i + 1;
        clocks[lane][lane] = i + 1;
        after.push(clocks[lane]);
        places.push(Place { lane, waits });
        for read in &access.reads {
            match touched.iter_mut().find(|t| t.region == *read) {
                Some(t) => t.readers.push(i),
                None => touched.push(Touched { region: *read, writer: None, readers: vec![i] }),
            }
        }
        for write in &access.writes {
            touched.retain(|t| !write.holds(&t.region));
            touched.push(Touched { region: *write, writer: Some(i), readers: Vec::new() });
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Everything that is done before launch `i` starts, by lane order and waits.
    fn before(places: &[Place], i: usize) -> Vec<bool> {
        let mut done = vec![false; places.len()];
        let mut open = vec![i];
        while let Some(at) = open.pop() {
            let lane = (0..at).rev().find(|j| places[*j].lane == places[at].lane);
            for j in places[at].waits.iter().copied().chain(lane) {
                if !std::mem::replace(&mut done[j], true) {
                    open.push(j);
                }
            }
        }
        done
    }

    fn regions() -> impl Strategy<Value = Vec<Region>> {
        prop::collection::vec((0u64..40, 1u64..6).prop_map(|(from, n)| Region { from, to: from + n }), 0..3)
    }

    proptest! {
        #[test]
        fn settled_is_what_no_launch_writes(
            launches in prop::collection::vec((regions(), regions()).prop_map(|(reads, writes)| Access { reads, writes }), 1..12)
        ) {
            for (launch, settled) in launches.iter().zip(settled(&launches)) {
                for (i, read) in launch.reads.iter().enumerate() {
                    let written = launches.iter().flat_map(|l| &l.writes).any(|w| w.overlaps(read));
                    prop_assert_eq!(settled.has(i), !written, "{:?} in {:?}", read, &launches);
                    prop_assert!(!settled.without(i).has(i));
                }
                prop_assert!(!settled.has(launch.reads.len()));
            }
        }

        #[test]
        fn whatever_conflicts_runs_in_order(
            launches in prop::collection::vec((regions(), regions()).prop_map(|(reads, writes)| Access { reads, writes }), 1..40)
        ) {
            let places = schedule(&launches);
            let meet = |a: &[Region], b: &[Region]| a.iter().any(|x| b.iter().any(|y| x.overlaps(y)));
            for i in 0..launches.len() {
                let done = before(&places, i);
                for j in 0..i {
                    let (a, b) = (&launches[j], &launches[i]);
                    if meet(&a.writes, &b.reads) || meet(&a.writes, &b.writes) || meet(&a.reads, &b.writes) {
                        prop_assert!(done[j], "{j} is not done before {i}: {places:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_chain_stays_in_one_lane_and_branches_do_not() {
        let at = |x: u64| Region { from: x, to: x + 1 };
        let launch = |reads: &[u64], write: u64| Access {
            reads: reads.iter().map(|x| at(*x)).collect(),
            writes: vec![at(write)],
        };
        let chain: Vec<Access> = (0..5).map(|i| launch(&[i], i + 1)).collect();
        assert!(schedule(&chain).iter().all(|p| p.lane == 0 && p.waits.is_empty()));
        let fork = [launch(&[], 0), launch(&[0], 1), launch(&[0], 2), launch(&[1, 2], 3)];
        let places = schedule(&fork);
        assert_eq!((places[1].lane, places[2].waits.clone()), (0, vec![0]));
        assert_ne!(places[2].lane, 0);
        assert_eq!(places[3].waits.len(), 1);
    }
}
