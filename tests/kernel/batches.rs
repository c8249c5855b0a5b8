//! Batches of operations.

use ctnetlink::{
    BatchOutcome, Errno, FlowKey, FlowUpdate, Operation,
    request::{DeleteFlow, UpdateFlow},
};

use crate::{cases, lab::Lab, samples::udp_flow};

cases! {
    batch_creates_updates_and_deletes;
    failures_name_the_place_of_their_operation;
    batch_larger_than_the_receive_buffer_loses_no_reply;
    empty_batch_succeeds;
}

fn batch_creates_updates_and_deletes(lab: &Lab) {
    let mut client = lab.client();
    let update = FlowUpdate::new().mark(3);
    let mut batch = client.batch();
    for number in 1..=1000 {
        batch.push(&udp_flow(number)).unwrap();
    }
    for number in 1..=500 {
        batch.push(&UpdateFlow::new(FlowKey::original(udp_flow(number).original), &update)).unwrap();
    }
    for number in 901..=1000 {
        batch.push(&DeleteFlow::new(FlowKey::original(udp_flow(number).original))).unwrap();
    }
    let report = batch.finish().unwrap();
    assert_eq!((report.operations(), report.succeeded()), (1600, 1600), "{:?}", report.failures());
    let flows = lab.flows();
    assert_eq!(flows.len(), 900);
    assert_eq!(flows.iter().filter(|flow| flow.mark == Some(3)).count(), 500);
}

fn failures_name_the_place_of_their_operation(lab: &Lab) {
    let mut client = lab.client();
    client.create(&udp_flow(3)).unwrap();
    let mut batch = client.batch();
    for number in 1..=4 {
        batch.push(&udp_flow(number)).unwrap();
    }
    batch.push(&DeleteFlow::new(FlowKey::original(udp_flow(99).original))).unwrap();
    batch.push(&udp_flow(5)).unwrap();
    let report = batch.finish().unwrap();
    let failures: Vec<_> =
        report.failures().iter().map(|(place, error)| (*place, error.operation(), error.errno())).collect();
    assert_eq!(failures, [(2, Operation::CreateFlow, Errno::EEXIST), (4, Operation::DeleteFlow, Errno::ENOENT)]);
    let results: Vec<bool> = report.outcomes().map(|outcome| outcome == BatchOutcome::Done).collect();
    assert_eq!(results, [true, true, false, true, false, true]);
    assert_eq!(lab.flows().len(), 5);
}

fn batch_larger_than_the_receive_buffer_loses_no_reply(_: &Lab) {
    let mut client = ctnetlink::Client::builder().receive_buffer(4096).open().unwrap();
    let mut batch = client.batch();
    for number in 1..=3000 {
        batch.push(&DeleteFlow::new(FlowKey::original(udp_flow(number).original))).unwrap();
    }
    let report = batch.finish().unwrap();
    assert_eq!((report.operations(), report.failures().len()), (3000, 3000));
    assert!(report.failures().iter().enumerate().all(|(place, (failed, _))| place == *failed));
}

fn empty_batch_succeeds(lab: &Lab) {
    let report = lab.client().batch().finish().unwrap();
    assert_eq!(report.operations(), 0);
}
