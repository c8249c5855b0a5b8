//! Events, and their loss.

use std::{thread, time::Duration};

use ctnetlink::{ChangeKind, Event, EventGroups, EventKind, EventSocket, FlowKey, FlowUpdate, fake::FakeKernel};

use super::{filled, tuple, udp};

/// The kinds of all queued events, `None` for an overrun.
fn kinds(events: &mut EventSocket) -> Vec<Option<EventKind>> {
    core::iter::from_fn(|| events.try_next().unwrap().map(|event| event.kind())).collect()
}

#[test]
fn each_change_has_its_event() {
    let kernel = FakeKernel::new();
    let mut events = kernel.event_socket(EventGroups::FLOWS);
    let mut client = kernel.client();
    client.create(&udp(1)).unwrap();
    client.update(FlowKey::original(tuple(1)), &FlowUpdate::new().mark(1)).unwrap();
    client.delete_all().unwrap();
    kernel.insert(&udp(2)).unwrap();
    kernel.advance(Duration::from_secs(60));
    use EventKind::{Destroy, New, Update};
    assert_eq!(kinds(&mut events), [New, Update, Destroy, New, Destroy].map(Some));
}

#[test]
fn socket_hears_the_groups_it_joined() {
    let kernel = FakeKernel::new();
    let mut ends = kernel.event_socket(EventGroups::DESTROY);
    let mut expectations = kernel.event_socket(EventGroups::EXPECTATIONS);
    let flow = kernel.insert(&udp(1)).unwrap();
    kernel.client().delete(&flow).unwrap();
    assert_eq!(kinds(&mut ends), [Some(EventKind::Destroy)]);
    assert!(kinds(&mut expectations).is_empty());
}

#[test]
fn flows_that_began_unheard_send_no_events() {
    for (setting, expected) in [(0, 0), (1, 1), (2, 0)] {
        let kernel = filled(FakeKernel::builder().events(setting).build(), 1);
        let mut events = kernel.event_socket(EventGroups::FLOWS);
        kernel.client().delete_all().unwrap();
        assert_eq!(kinds(&mut events).len(), expected, "nf_conntrack_events={setting}");
    }
}

#[test]
fn overrun_comes_after_older_events_and_loses_later_ones() {
    let kernel = FakeKernel::new();
    let mut events = kernel.event_socket(EventGroups::FLOWS);
    kernel.insert(&udp(1)).unwrap();
    kernel.overrun();
    kernel.insert(&udp(2)).unwrap();
    assert_eq!(kinds(&mut events), [Some(EventKind::New), None]);
    kernel.insert(&udp(3)).unwrap();
    assert_eq!(kinds(&mut events), [Some(EventKind::New)]);
    assert_eq!(events.overruns(), 1);
}

#[test]
fn waiting_socket_is_woken_by_another_thread() {
    let kernel = FakeKernel::new();
    let mut events = kernel.event_socket(EventGroups::NEW);
    let writer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(20));
        kernel.insert(&udp(1)).unwrap();
    });
    let event = events.next_within(Duration::from_secs(20)).unwrap();
    assert!(matches!(event, Some(Event::New(_))));
    writer.join().unwrap();
}

#[test]
fn stopped_socket_ends_its_wait() {
    let mut events = FakeKernel::new().event_socket(EventGroups::NEW);
    let stop = events.stop_handle().unwrap();
    let stopper = thread::spawn(move || {
        thread::sleep(Duration::from_millis(20));
        stop.stop();
    });
    assert!(events.next().is_none());
    stopper.join().unwrap();
}

#[test]
fn small_buffer_overruns_and_recovers() {
    let kernel = FakeKernel::new();
    let mut events = kernel.event_socket_with(EventGroups::NEW, 10 * 1280);
    for port in 1..=100 {
        kernel.insert(&udp(port)).unwrap();
    }
    let seen = kinds(&mut events);
    assert_eq!((seen.len(), seen.last()), (12, Some(&None)));
    kernel.insert(&udp(101)).unwrap();
    assert_eq!(kinds(&mut events).len(), 1);
}

#[test]
fn mirror_follows_changes_and_repairs_losses() {
    let kernel = filled(FakeKernel::builder().events(1).build(), 3);
    let mut mirror = kernel.mirror();
    mirror.synchronize().unwrap();
    assert_eq!(mirror.table().len(), 3);

    let flow = kernel.insert(&udp(4)).unwrap();
    let change = mirror.next().unwrap().unwrap();
    assert_eq!((change.kind, change.flow.original), (ChangeKind::Appeared, flow.original));
    kernel.overrun();
    kernel.client().delete_all().unwrap();
    for _ in 0..4 {
        assert_eq!(mirror.next().unwrap().unwrap().kind, ChangeKind::Vanished);
    }
    assert_eq!((mirror.table().len(), mirror.overruns()), (0, 1));
}

/// A program may wait for several sockets with poll(2).
#[cfg(all(target_os = "linux", feature = "client"))]
#[test]
fn socket_is_readable_while_events_wait() {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let kernel = FakeKernel::new();
    let mut events = kernel.event_socket(EventGroups::NEW);
    let is_readable =
        |events: &EventSocket| poll(&mut [PollFd::new(events, PollFlags::IN)], Some(&Timespec::default())).unwrap() > 0;
    assert!(!is_readable(&events));
    kernel.insert(&udp(1)).unwrap();
    assert!(is_readable(&events));
    kinds(&mut events);
    assert!(!is_readable(&events));
}

#[cfg(all(target_os = "linux", feature = "tokio"))]
#[test]
fn loss_seen_by_a_synchronous_socket_is_yielded_after_its_conversion() {
    let kernel = FakeKernel::new();
    let mut events = kernel.event_socket(EventGroups::FLOWS);
    kernel.insert(&udp(1)).unwrap();
    kernel.overrun();
    assert!(matches!(events.next().unwrap().unwrap(), Event::New(_)), "the events before the loss come first");
    let mut events = ctnetlink::tokio::EventSocket::from(events);
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let event = tokio::time::timeout(Duration::from_secs(5), events.next()).await;
        assert!(matches!(event.unwrap().unwrap().unwrap(), Event::Overrun));
        kernel.insert(&udp(2)).unwrap();
        assert!(matches!(events.next().await.unwrap().unwrap(), Event::New(_)), "the stream goes on");
    });
}

#[cfg(all(target_os = "linux", feature = "tokio"))]
#[test]
fn events_in_a_socket_that_was_read_synchronously_are_yielded_without_a_wait() {
    let kernel = FakeKernel::new();
    let mut events = ctnetlink::tokio::EventSocket::from(kernel.event_socket(EventGroups::FLOWS));
    const PATIENCE: Duration = Duration::from_secs(10);
    let begin = std::time::Instant::now();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        assert!(events.next_within(Duration::from_millis(1)).await.unwrap().is_none());
        (1..=3).for_each(|port| drop(kernel.insert(&udp(port)).unwrap()));
        for _ in 0..2 {
            assert!(matches!(events.try_next().unwrap(), Some(Event::New(_))));
        }
        assert!(matches!(events.next_within(PATIENCE).await.unwrap(), Some(Event::New(_))));

        assert!(events.next_within(Duration::from_millis(1)).await.unwrap().is_none());
        kernel.insert(&udp(4)).unwrap();
        kernel.overrun();
        assert!(matches!(events.try_next().unwrap(), Some(Event::New(_))));
        assert!(matches!(events.next_within(PATIENCE).await.unwrap(), Some(Event::Overrun)));
    });
    assert!(begin.elapsed() < PATIENCE, "an event was found only after the wait");
}
