//! Older kernels.

use ctnetlink::{Filter, fake::FakeKernel};

use super::{filled, ports, udp};

fn of_release(major: u32, minor: u32) -> FakeKernel {
    let kernel = FakeKernel::builder().linux(major, minor).build();
    for port in 1..=4 {
        let mut flow = udp(port);
        flow.mark = Some(u32::from(port % 2));
        kernel.insert(&flow).unwrap();
    }
    kernel
}

#[test]
fn filters_that_a_kernel_does_not_know_are_probed_as_missing() {
    for (release, dump, status, zone, flush) in [
        ((5, 4), false, false, false, false),
        ((5, 8), true, false, false, false),
        ((5, 15), true, true, false, false),
        ((6, 8), true, true, true, false),
        ((6, 12), true, true, true, true),
        ((6, 18), true, true, true, true),
    ] {
        let found = of_release(release.0, release.1).client().capabilities().unwrap();
        let found = (found.dump_tuple_filter, found.status_filter, found.zone_filter, found.flush_tuple_filter);
        assert_eq!(found, (dump, status, zone, flush), "{release:?}");
    }
}

#[test]
fn filters_mean_the_same_on_every_kernel() {
    let filter: Filter = "proto udp and dport 53 and mark 1 and not zone 3".parse().unwrap();
    for (major, minor) in [(5, 4), (5, 8), (5, 15), (6, 1), (6, 8), (6, 12), (6, 18)] {
        let kernel = of_release(major, minor);
        let mut client = kernel.client();
        let flows: Vec<_> = client.dump_matching(&filter).unwrap().map(Result::unwrap).collect();
        assert_eq!(ports(&flows), [1, 3], "{major}.{minor}");
        assert_eq!(client.delete_matching(&filter).unwrap().changed(), 2, "{major}.{minor}");
        assert_eq!(ports(&kernel.flows()), [2, 4], "{major}.{minor}");
    }
}

#[test]
fn filled_table_is_dumped_by_every_kernel() {
    for (major, minor) in [(5, 4), (6, 1), (7, 2)] {
        let kernel = filled(FakeKernel::builder().linux(major, minor).build(), 50);
        assert_eq!(kernel.client().dump().unwrap().count(), 50);
    }
}
