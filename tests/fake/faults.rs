//! Faults that a test asks for.

use ctnetlink::{
    Errno, ErrorKind, FlowKey, FlowUpdate,
    fake::{FakeKernel, Fault},
    request::DeleteFlow,
};

use super::{filled, ports, tuple, udp};

#[test]
fn refused_request_changes_nothing() {
    let kernel = FakeKernel::new();
    let mut client = kernel.client();
    for (errno, kind) in [
        (Errno::EBUSY, ErrorKind::Busy),
        (Errno::EPERM, ErrorKind::PermissionDenied),
        (Errno::ENOENT, ErrorKind::NotFound),
        (Errno::ENOMEM, ErrorKind::NoSpace),
    ] {
        kernel.inject(Fault::Refuse(errno));
        assert_eq!(client.create(&udp(1)).unwrap_err().kind(), kind);
        assert!(kernel.flows().is_empty());
    }
    client.create(&udp(1)).unwrap();
}

#[test]
fn denied_update_mentions_fixed_timeouts_only_for_a_timeout() {
    let kernel = filled(FakeKernel::new(), 1);
    let flow = kernel.flows().remove(0);
    let denied = |update: &FlowUpdate| {
        kernel.inject_after(1, Fault::Refuse(Errno::EPERM)); // The request before it looks the flow up.
        kernel.client().update(&flow, update).unwrap_err().to_string()
    };
    let [mark, timeout] = [FlowUpdate::new().mark(1), FlowUpdate::new().timeout(9)].map(|update| denied(&update));
    assert!(mark.contains("CAP_NET_ADMIN") && !mark.contains("FIXED_TIMEOUT"), "{mark}");
    assert!(timeout.contains("CAP_NET_ADMIN") && timeout.contains("FIXED_TIMEOUT"), "{timeout}");
}

#[test]
fn fault_waits_for_its_request_within_a_batch() {
    let kernel = FakeKernel::new();
    kernel.inject_after(2, Fault::Refuse(Errno::EBUSY));
    let mut client = kernel.client();
    let mut batch = client.batch();
    (1..=4).for_each(|port| batch.push(&udp(port)).unwrap());
    let report = batch.finish().unwrap();
    let failed: Vec<_> = report.failures().iter().map(|(place, error)| (*place, error.errno())).collect();
    assert_eq!(failed, [(2, Errno::EBUSY)]);
    assert_eq!(ports(&kernel.flows()), [1, 2, 4]);
}

#[test]
fn lost_reply_is_an_overrun_and_the_client_goes_on() {
    let kernel = FakeKernel::new();
    let mut client = kernel.client();
    kernel.inject(Fault::LoseReply);
    assert!(client.create(&udp(1)).unwrap_err().is_overrun());
    assert!(client.get(FlowKey::original(tuple(1))).unwrap().is_some(), "it was created all the same");
}

#[test]
fn fault_of_the_first_delete_reaches_the_delete() {
    let kernel = filled(FakeKernel::new(), 1);
    let flow = kernel.flows().remove(0);
    kernel.inject(Fault::LoseReply);
    assert!(kernel.client().delete(&flow).unwrap_err().is_overrun());
    assert!(kernel.flows().is_empty(), "it was executed");

    let kernel = filled(FakeKernel::new(), 2);
    let mut client = kernel.client();
    kernel.inject_after(1, Fault::Refuse(Errno::EBUSY));
    let mut batch = client.batch();
    kernel.flows().iter().for_each(|flow| batch.push(&DeleteFlow::new(flow.into())).unwrap());
    let failed: Vec<_> =
        batch.finish().unwrap().failures().iter().map(|(place, error)| (*place, error.errno())).collect();
    assert_eq!(failed, [(1, Errno::EBUSY)]);
}

#[test]
fn missing_reply_times_out_without_waiting() {
    let kernel = filled(FakeKernel::new(), 3);
    let mut client = kernel.client();
    let begin = std::time::Instant::now();
    kernel.inject(Fault::NoReply);
    assert!(client.delete_all().unwrap_err().is_timed_out());
    kernel.inject(Fault::NoReply);
    assert!(client.dump().unwrap().next().unwrap().unwrap_err().is_timed_out());
    assert!(begin.elapsed().as_secs() < 5, "ten seconds is the time-out");
    assert_eq!(client.dump().unwrap().count(), 0);
}

/// The refusal of the first operation is lost, so the answer to the last operation must not make it a success.
#[test]
fn missing_reply_leaves_the_rest_of_its_datagram_unanswered() {
    let kernel = filled(FakeKernel::new(), 1);
    kernel.inject(Fault::NoReply);
    let mut client = kernel.client();
    let mut batch = client.batch();
    (1..=3).for_each(|port| batch.push(&udp(port)).unwrap());
    assert!(batch.send().unwrap_err().is_timed_out());
    assert_eq!(batch.finish().unwrap().unanswered(), 3);
    assert_eq!(ports(&kernel.flows()), [1, 2, 3]);
}

#[test]
fn unsent_request_is_an_error_of_the_system() {
    let kernel = filled(FakeKernel::new(), 3);
    let mut client = kernel.client();
    kernel.inject(Fault::SendFails(Errno::ENOBUFS));
    assert_eq!(client.delete_all().unwrap_err().errno(), Some(Errno::ENOBUFS));
    assert_eq!(kernel.flows().len(), 3);
    client.delete_all().unwrap();
}

#[test]
fn dump_ends_with_an_error_where_asked() {
    let kernel = filled(FakeKernel::new(), 10);
    kernel.inject(Fault::EndDump { after: 4, errno: Errno::ENOMEM });
    let mut client = kernel.client();
    let (flows, errors): (Vec<_>, Vec<_>) = client.dump().unwrap().partition(Result::is_ok);
    assert_eq!((flows.len(), errors.len()), (4, 1));
    assert_eq!(errors[0].as_ref().unwrap_err().errno(), Some(Errno::ENOMEM));
    assert_eq!(client.dump().unwrap().count(), 10);
}

#[test]
fn entries_of_a_dump_may_come_twice() {
    let kernel = filled(FakeKernel::new(), 100);
    kernel.inject(Fault::RepeatEntries);
    let mut client = kernel.client();
    let flows: Vec<_> = client.dump().unwrap().map(Result::unwrap).collect();
    assert_eq!(flows.len(), 200);
    let mut once = ports(&flows);
    once.dedup();
    assert_eq!(once.len(), 100);
}

/// An update of a flow that has a zone in one direction looks it up first, so it is not part of a batch.
#[test]
fn lost_answer_ends_a_change_of_flows_in_a_zone_of_one_direction() {
    let kernel = FakeKernel::new();
    for port in 1..=3 {
        let (mut original, reply) = (tuple(port), tuple(port).inverted().unwrap());
        original.zone = Some(5);
        kernel.insert(&ctnetlink::NewFlow::new(original, reply, 60)).unwrap();
    }
    let mut client = kernel.client();
    client.capabilities().unwrap();
    kernel.inject_after(1, Fault::NoReply);
    let result = client.update_matching(&ctnetlink::Filter::everything(), &FlowUpdate::new().mark(1));
    assert!(result.unwrap_err().is_timed_out());
}

/// A second refusal of the same batch is still counted, but not tried again.
#[test]
fn lost_answer_to_a_second_try_ends_a_change_by_a_filter() {
    let kernel = filled(FakeKernel::new(), 3);
    let mut client = kernel.client();
    client.capabilities().unwrap();
    // A dump, then three updates in a batch, of which two are refused, then the look-up for the second try.
    kernel.inject_after(1, Fault::Refuse(Errno::EBUSY));
    kernel.inject_after(2, Fault::Refuse(Errno::EBUSY));
    kernel.inject_after(4, Fault::NoReply);
    let update = FlowUpdate::new().add_status(ctnetlink::Status::ASSURED);
    let error = client.update_matching(&ctnetlink::Filter::everything(), &update).unwrap_err();
    assert!(error.is_timed_out(), "{error}");
    let report = error.bulk_report().unwrap();
    assert_eq!((report.changed(), report.unanswered(), report.failed()), (1, 1, 1));
}
