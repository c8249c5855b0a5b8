//! Dumps that threads share.

use ctnetlink::{
    Errno, ErrorKind, Partition,
    fake::{FakeKernel, Fault},
};

use super::{filled, ports};

#[test]
fn parts_are_the_whole_table() {
    let kernel = filled(FakeKernel::new(), 2000);
    let flows: Vec<_> = kernel.client().dump_partitioned(&Partition::families()).unwrap().map(Result::unwrap).collect();
    assert_eq!(ports(&flows), (1..=2000).collect::<Vec<_>>());
}

#[test]
fn kernel_without_filters_is_dumped_by_one_thread() {
    // Linux 5.4 cannot select a zone.
    let kernel = filled(FakeKernel::builder().linux(5, 4).build(), 20);
    let zones = |zones: &[u16]| Partition::zones(zones.iter().copied());
    let mut client = kernel.client();
    assert_eq!(client.dump_partitioned(&zones(&[0, 1])).unwrap().count(), 20);
    assert_eq!(client.dump_partitioned(&zones(&[1])).unwrap().count(), 0);
}

#[test]
fn refused_part_ends_the_dump() {
    let kernel = filled(FakeKernel::new(), 10);
    let mut client = kernel.client();
    client.capabilities().unwrap();
    kernel.inject(Fault::Refuse(Errno::EBUSY));
    let mut dump = client.dump_partitioned(&Partition::families()).unwrap();
    let error = dump.find_map(Result::err).unwrap();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(dump.next().is_none() && dump.next_view().unwrap().is_none());
}

#[test]
fn dump_of_no_part_is_empty() {
    let kernel = filled(FakeKernel::new(), 10);
    assert_eq!(kernel.client().dump_partitioned(&Partition::zones([])).unwrap().count(), 0);
}
