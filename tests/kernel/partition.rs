//! Dumps that threads share.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use ctnetlink::{Client, Flow, FlowKey, Partition};

use crate::{
    cases,
    churn::{Dice, churn},
    lab::Lab,
    samples::{tcp_flow, udp_flow, udp6_flow},
};

cases! {
    parts_are_the_whole_table;
    flows_outside_of_the_given_zones_are_not_dumped;
    partitioned_dump_misses_no_flow_while_others_change;
    dropped_partitioned_dump_leaves_the_client_usable;
}

/// Churn uses numbers below.
const STABLE: u16 = 20_000;

/// Flows of both families in zones 0, 1 and 2 with marks 0 to 3, twelve for each number.
fn fill(client: &mut Client, numbers: u16) {
    let mut batch = client.batch();
    for number in STABLE..STABLE + numbers {
        for zone in 0..3 {
            for (mark, new) in [tcp_flow(number), udp_flow(number), udp6_flow(number)].into_iter().enumerate() {
                batch.push(&new.zone(zone).mark(u32::from(number) % 2 + mark as u32)).unwrap();
            }
        }
    }
    assert_eq!(batch.finish().unwrap().failures().len(), 0);
}

fn partitions() -> [Partition; 4] {
    let bits = |mask| Partition::stable_mark_bits(mask).unwrap();
    [Partition::families(), Partition::zones([2, 0, 1, 1]), bits(1), bits(0b11)]
}

/// How often each flow was reported.
fn counted(flows: impl Iterator<Item = Flow>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for flow in flows {
        *counts.entry(format!("{:?} {:?}", FlowKey::from(&flow), flow.mark)).or_default() += 1;
    }
    counts
}

fn parts_are_the_whole_table(lab: &Lab) {
    let mut client = lab.client();
    fill(&mut client, 500);
    let whole = counted(client.dump().unwrap().map(Result::unwrap));
    assert_eq!((whole.len(), whole.values().max()), (4500, Some(&1)));
    for partition in partitions() {
        let parts = counted(client.dump_partitioned(&partition).unwrap().map(Result::unwrap));
        assert!(parts == whole, "{partition:?}: {} flows instead of {}", parts.len(), whole.len());
        let mut views = 0;
        let mut dump = client.dump_partitioned(&partition).unwrap();
        while let Some(flow) = dump.next_view().unwrap() {
            views += usize::from(flow.id().is_some());
        }
        assert_eq!(views, whole.len());
        assert!(dump.next_view().unwrap().is_none() && dump.next().is_none());
    }
}

fn flows_outside_of_the_given_zones_are_not_dumped(lab: &Lab) {
    let mut client = lab.client();
    fill(&mut client, 10);
    let zones = |zones: &[u16]| Partition::zones(zones.iter().copied());
    for (given, flows) in [(&[1, 2][..], 60), (&[1], 30), (&[9], 0), (&[], 0)] {
        assert_eq!(client.dump_partitioned(&zones(given)).unwrap().count(), flows, "{given:?}");
    }
}

/// A flow that lives throughout is never missing. It can come twice, as in a plain dump, if the flow at which the kernel
/// paused has ended.
fn partitioned_dump_misses_no_flow_while_others_change(lab: &Lab) {
    let mut client = lab.client();
    fill(&mut client, 300);
    let stable = counted(client.dump().unwrap().map(Result::unwrap));
    let mut other = lab.client();
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut dice = Dice(7);
            while !is_done.load(Ordering::Relaxed) {
                churn(&mut other, &mut dice, 3000, 200);
            }
        });
        let found = (0..5).flat_map(|_| partitions()).all(|partition| {
            let found = counted(client.dump_partitioned(&partition).unwrap().map(Result::unwrap));
            stable.keys().all(|flow| found.contains_key(flow))
        });
        is_done.store(true, Ordering::Relaxed);
        assert!(found);
    });
}

fn dropped_partitioned_dump_leaves_the_client_usable(lab: &Lab) {
    let mut client = lab.client();
    fill(&mut client, 2000);
    for read in [0, 1, 5000] {
        let mut dump = client.dump_partitioned(&Partition::families()).unwrap();
        assert_eq!(dump.by_ref().take(read).filter(Result::is_ok).count(), read);
        drop(dump);
        assert_eq!(client.statistics().unwrap().entries, Some(18_000));
    }
}
