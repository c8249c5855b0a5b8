//! The mirror.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, RwLock},
    thread,
    time::{Duration, Instant},
};

use ctnetlink::{
    ChangeKind, ErrorKind, EventGroups, EventKind, EventSocket, FlowKey, FlowUpdate, Mirror, NetworkNamespace,
    Protocol, TcpState, Tuple, sysctl,
};

use crate::{
    cases,
    churn::{Dice, churn},
    follower::Follower,
    lab::{Lab, PATIENCE, until},
    samples::{create, tcp_flow, udp_flow},
    soak::seconds,
};

cases! {
    first_dump_and_events_build_the_table;
    table_equals_a_dump_at_every_quiet_point;
    lost_events_become_inferred_changes;
    mirror_recovers_from_losses_during_churn;
    mirror_on_threads_recovers_from_losses_during_churn;
    audit_finds_changes_without_events;
    audit_finds_expired_flows;
    reused_tuple_is_another_flow;
    zones_separate_flows;
    traffic_is_followed: "ip", "nft";
    one_thread_feeds_while_others_read;
    audits_run_periodically;
    next_flow_after_a_silent_end_is_noticed;
    repeated_ends_leave_new_flows_alone;
    repeated_ends_leave_updated_flows_alone;
    repeated_ends_leave_new_flows_alone_during_audits;
    repeated_begins_are_not_new_flows;
    repeated_begins_after_an_audit_are_not_new_flows;
    mirrors_stay_equal_beside_a_reliable_listener;
    mirror_reports_events_switched_off;
    parts_of_different_namespaces_are_refused;
    listener_with_a_filter_is_refused;
    resized_table_makes_no_flow_vanish: Resize;
    table_resized_while_threads_dump_makes_no_flow_vanish: Resize;
}

fn first_dump_and_events_build_the_table(lab: &Lab) {
    // Otherwise the flows have events only if a listener existed before, in any namespace.
    lab.sysctl(sysctl::EVENTS, 1);
    let mut client = lab.client();
    create(&mut client, (1..=300).map(udp_flow));
    let mut follower = Follower::new(1 << 20);
    follower.check();
    assert_eq!(follower.inferred, BTreeMap::from([(ChangeKind::Appeared, 300)]));
    client.create(&tcp_flow(1)).unwrap();
    client.update(FlowKey::original(udp_flow(5).original), &FlowUpdate::new().mark(9)).unwrap();
    client.delete(FlowKey::original(udp_flow(6).original)).unwrap();
    follower.check();
    let once = [ChangeKind::Appeared, ChangeKind::Changed, ChangeKind::Vanished].map(|kind| (kind, 1));
    assert_eq!(follower.reported, BTreeMap::from(once));
    let table = follower.mirror.table();
    let by_protocol = table.count_by(|flow| flow.protocol());
    assert_eq!(by_protocol, BTreeMap::from([(Protocol::TCP, 1), (Protocol::UDP, 299)]));
    assert_eq!(table.count_by(|flow| flow.tcp_state())[&Some(TcpState::ESTABLISHED)], 1);
    assert_eq!(table.get(FlowKey::reply(udp_flow(5).reply)).unwrap().mark(), Some(9));
    assert_eq!((follower.mirror.overruns(), follower.mirror.dumps()), (0, 1));
}

fn table_equals_a_dump_at_every_quiet_point(lab: &Lab) {
    let (mut client, mut dice) = (lab.client(), Dice(1));
    let mut followers = [Follower::new(16 << 20), Follower::new(16 << 20).on_threads()];
    for _ in 0..10 {
        churn(&mut client, &mut dice, 2000, 3000);
        followers.iter_mut().for_each(Follower::check);
    }
    assert_eq!(followers.map(|follower| follower.mirror.overruns()), [0, 0]);
}

fn lost_events_become_inferred_changes(lab: &Lab) {
    let mut client = lab.client();
    let mut follower = Follower::new(50_000);
    create(&mut client, (1..=1000).map(udp_flow));
    follower.check();
    assert!(follower.mirror.overruns() > 0);
    assert!(follower.inferred[&ChangeKind::Appeared] > 500);
    client.delete_all().unwrap();
    follower.check();
    assert!(follower.inferred[&ChangeKind::Vanished] > 500);
    assert!(follower.mirror.table().is_empty());
}

fn mirror_recovers_from_losses_during_churn(lab: &Lab) {
    recover_from_losses(lab, Follower::new(30_000));
}

fn mirror_on_threads_recovers_from_losses_during_churn(lab: &Lab) {
    recover_from_losses(lab, Follower::new(30_000).on_threads());
}

fn recover_from_losses(lab: &Lab, mut follower: Follower) {
    let mut client = lab.client();
    let mut dice = Dice(2);
    // Nobody reads yet, so this burst does not fit the buffer.
    churn(&mut client, &mut dice, 2000, 500);
    let storm = move || {
        for _ in 0..100 {
            churn(&mut client, &mut dice, 2000, 500);
        }
    };
    let writer = thread::spawn(storm);
    follower.follow_until(|| writer.is_finished());
    writer.join().unwrap();
    follower.check();
    assert!(follower.mirror.overruns() > 0 && follower.mirror.dumps() > 1);
}

/// The kernel sends no events of these flows, as for flows created before the first listener opened.
fn audit_finds_changes_without_events(lab: &Lab) {
    let mut client = lab.client();
    let mut follower = Follower::new(1 << 20);
    follower.check();
    lab.sysctl(sysctl::EVENTS, 0);
    create(&mut client, (1..=10).map(udp_flow));
    client.delete(FlowKey::original(udp_flow(1).original)).unwrap();
    follower.catch_up();
    assert!(follower.mirror.table().is_empty());
    follower.mirror.audit();
    follower.check();
    client.delete_all().unwrap();
    create(&mut client, (10..=12).map(udp_flow));
    follower.mirror.audit();
    follower.check();
    assert!(follower.reported.is_empty());
}

/// The kernel needs up to a minute to notice without a dump.
fn audit_finds_expired_flows(lab: &Lab) {
    let mut short = udp_flow(1);
    short.timeout = 1;
    let mut follower = Follower::new(1 << 20);
    create(&mut lab.client(), [short, udp_flow(2)]);
    follower.catch_up();
    assert_eq!(follower.mirror.table().len(), 2);
    // Any other lookup of the flow would make the kernel notice it and send an event.
    until(|| {
        follower.mirror.audit();
        follower.catch_up();
        follower.mirror.table().len() == 1
    });
    follower.check();
}

/// The new flow often has the identifier of the old one, because it is stored in the same place.
fn reused_tuple_is_another_flow(lab: &Lab) {
    let mut client = lab.client();
    let mut follower = Follower::new(1 << 20);
    for mark in 0..50 {
        let mut new = tcp_flow(1);
        new.mark = Some(mark);
        client.create(&new).unwrap();
        if mark % 3 == 0 {
            follower.mirror.audit();
        }
        if mark % 2 == 0 {
            follower.check();
        }
        client.delete(FlowKey::original(new.original)).unwrap();
    }
    follower.check();
    assert!(follower.flows.is_empty());
}

fn zones_separate_flows(lab: &Lab) {
    let mut client = lab.client();
    let mut follower = Follower::new(1 << 20);
    for zone in [None, Some(1), Some(2)] {
        let mut new = udp_flow(1);
        new.zone = zone;
        client.create(&new).unwrap();
    }
    follower.check();
    assert_eq!(follower.mirror.table().len(), 3);
    client.delete(FlowKey::original(udp_flow(1).original).in_zone(1)).unwrap();
    follower.check();
    follower.mirror.audit();
    follower.check();
    let zones = follower.mirror.table().count_by(|flow| flow.zone());
    assert_eq!(zones, BTreeMap::from([(None, 1), (Some(2), 1)]));
}

fn traffic_is_followed(lab: &Lab) {
    lab.track_loopback();
    let mut follower = Follower::new(1 << 20);
    let connection = lab.tcp("127.0.0.1:0");
    lab.udp("127.0.0.1:0");
    lab.ping("127.0.0.1".parse().unwrap());
    follower.check();
    assert!(follower.mirror.table().len() >= 3);
    drop(connection);
    until(|| {
        follower.check();
        let states = follower.mirror.table().count_by(|flow| flow.tcp_state());
        !states.contains_key(&Some(TcpState::ESTABLISHED))
    });
}

fn one_thread_feeds_while_others_read(lab: &Lab) {
    let mut mirror = Mirror::open().unwrap();
    mirror.synchronize().unwrap();
    let ready = mirror.waiter().unwrap();
    let mirror = Arc::new(RwLock::new(mirror));
    let fed = Arc::clone(&mirror);
    let feed = move || {
        while fed.read().unwrap().table().len() < 500 {
            assert!(ready.wait(PATIENCE).unwrap());
            while fed.write().unwrap().try_next().unwrap().is_some() {}
        }
    };
    let feeder = thread::spawn(feed);
    create(&mut lab.client(), (1..=500).map(udp_flow));
    let deadline = Instant::now() + PATIENCE;
    while mirror.read().unwrap().table().len() < 500 {
        assert!(Instant::now() < deadline);
        thread::yield_now();
    }
    feeder.join().unwrap();
}

fn audits_run_periodically(lab: &Lab) {
    let mut mirror = Mirror::open().unwrap().audit_every(Some(Duration::from_millis(5)));
    mirror.synchronize().unwrap();
    lab.sysctl(sysctl::EVENTS, 0);
    lab.client().create(&udp_flow(1)).unwrap();
    let change = mirror.next_within(PATIENCE).unwrap().unwrap();
    assert_eq!((change.kind, change.inferred), (ChangeKind::Appeared, true));
    while mirror.dumps() < 3 {
        assert_eq!(mirror.next_within(Duration::from_millis(5)).unwrap(), None);
    }
}

/// A flow that began while events were off ends without an event, and the next flow mostly has its identifier.
fn next_flow_after_a_silent_end_is_noticed(lab: &Lab) {
    let mut client = lab.client();
    let mut equal = 0;
    for round in 0..10 {
        client.delete_all().unwrap();
        lab.sysctl(sysctl::EVENTS, 0);
        client.create(&tcp_flow(1)).unwrap();
        lab.sysctl(sysctl::EVENTS, 1);
        let before = lab.flow(tcp_flow(1).original).id;
        let mut mirror = Mirror::open().unwrap();
        mirror.synchronize().unwrap();
        assert_eq!(mirror.next_within(Duration::from_millis(1100)).unwrap(), None);
        client.delete(FlowKey::original(tcp_flow(1).original)).unwrap();
        client.create(&tcp_flow(1)).unwrap();
        let kinds = [(); 2].map(|()| mirror.next_within(PATIENCE).unwrap().map(|change| change.kind));
        assert_eq!(kinds, [Some(ChangeKind::Vanished), Some(ChangeKind::Appeared)], "round {round}");
        equal += u32::from(lab.flow(tcp_flow(1).original).id == before);
        if equal == 2 {
            return;
        }
    }
}

/// A reliable listener that reads nothing. The kernel repeats to every listener the events that it missed.
fn reliable_listener(groups: EventGroups) -> EventSocket {
    EventSocket::builder(groups).receive_buffer(1024).reliable(true).open().unwrap()
}

/// Creates, deletes and creates flows again, while the kernel repeats the ends of the first ones to every listener:
/// slowly while the reliable listener exists, and all of them when it is gone.
fn repeat_ends(lab: &Lab, follower: &mut Follower, mut meanwhile: impl FnMut(u16)) {
    let mut raw = EventSocket::builder(EventGroups::FLOWS).receive_buffer(8 << 20).open().unwrap();
    let mut reliable = Some(reliable_listener(EventGroups::DESTROY));
    let mut client = lab.client();
    create(&mut client, (1..=300).map(udp_flow));
    client.delete_all().unwrap();
    create(&mut client, (1..=300).map(udp_flow));
    for step in 0..40 {
        if step == 20 {
            reliable = None;
        }
        meanwhile(step);
        let end = Instant::now() + Duration::from_millis(100);
        follower.follow_until(|| Instant::now() >= end);
    }
    drop(reliable);
    follower.check();
    let living: HashMap<Tuple, Option<u32>> = lab.flows().into_iter().map(|flow| (flow.original, flow.id)).collect();
    assert_eq!((living.len(), follower.mirror.table().len()), (300, 300));
    // Whether each flow has ended since it began.
    let (mut has_ended, mut ends) = (HashMap::new(), 0);
    while let Some(event) = raw.try_next().unwrap() {
        let (kind, event) = event.flow().unwrap();
        let is_end = kind == EventKind::Destroy;
        if is_end || kind == EventKind::New {
            has_ended.insert((event.flow.original, event.flow.id), is_end);
        }
        ends += u32::from(is_end);
    }
    // Repeats are harmless because no other flow gets the identifier as long as the kernel repeats the end. A flow whose
    // end was not missed may leave its identifier to the next flow of its tuple.
    living.iter().for_each(|(tuple, id)| assert!(!has_ended[&(*tuple, *id)], "{tuple}"));
    assert!(ends >= 500, "the kernel repeats ends: {ends}");
    assert_eq!(follower.mirror.overruns(), 0);
    // An audit may be ahead of the events.
    assert!(follower.mirror.dumps() > 1 || follower.inferred.is_empty(), "{:?}", follower.inferred);
}

fn repeated_ends_leave_new_flows_alone(lab: &Lab) {
    let mut follower = Follower::new(4 << 20);
    follower.check();
    repeat_ends(lab, &mut follower, |_| {});
}

fn repeated_ends_leave_updated_flows_alone(lab: &Lab) {
    let mut follower = Follower::new(4 << 20);
    follower.check();
    let mut client = lab.client();
    repeat_ends(lab, &mut follower, |step| {
        let key = FlowKey::original(udp_flow(1 + step * 7).original);
        client.update(key, &FlowUpdate::new().mark(step.into())).unwrap();
    });
}

fn repeated_ends_leave_new_flows_alone_during_audits(lab: &Lab) {
    let mut follower = Follower::new(4 << 20);
    follower.check();
    follower.mirror = follower.mirror.audit_every(Some(Duration::from_millis(20)));
    repeat_ends(lab, &mut follower, |_| {});
    assert!(follower.mirror.dumps() > 10, "{}", follower.mirror.dumps());
}

/// Makes the kernel merge the begins of flows, which a reliable listener missed, into the next event of each.
fn repeat_begins(lab: &Lab, audit: bool) {
    let mut follower = Follower::new(4 << 20);
    follower.check();
    let mut raw = EventSocket::builder(EventGroups::NEW).receive_buffer(4 << 20).open().unwrap();
    let mut client = lab.client();
    let _reliable = reliable_listener(EventGroups::FLOWS);
    create(&mut client, (1..=100).map(udp_flow));
    follower.check();
    if audit {
        follower.mirror.audit();
        // Until no event can arrive that is older than the dump.
        let end = Instant::now() + Duration::from_millis(1200);
        follower.follow_until(|| Instant::now() >= end);
    }
    for number in 1..=100 {
        client.update(FlowKey::original(udp_flow(number).original), &FlowUpdate::new().mark(5)).unwrap();
    }
    follower.check();
    let begins = std::iter::from_fn(|| raw.try_next().unwrap().map(drop)).count();
    assert!(begins > 150, "the kernel repeats begins: {begins}");
    assert_eq!(follower.reported, BTreeMap::from([(ChangeKind::Appeared, 100), (ChangeKind::Changed, 100)]));
    assert!(follower.inferred.is_empty(), "{:?}", follower.inferred);
}

fn repeated_begins_are_not_new_flows(lab: &Lab) {
    repeat_begins(lab, false);
}

fn repeated_begins_after_an_audit_are_not_new_flows(lab: &Lab) {
    repeat_begins(lab, true);
}

/// Three mirrors, with too little room and with enough, through churn beside a reliable listener that reads in the pauses alone.
fn mirrors_stay_equal_beside_a_reliable_listener(lab: &Lab) {
    /// The duration of the churn, and of the pause in which the kernel repeats events that the listener missed.
    const PHASES: [Duration; 2] = [Duration::from_millis(500), Duration::from_millis(1300)];
    let duration = seconds().unwrap_or(3 * (PHASES[0] + PHASES[1]));
    let begin = Instant::now();
    let mut followers = [8 << 10, 1 << 20, 32 << 20].map(|bytes| Follower::new(bytes / 2));
    let (mut client, mut dice) = (lab.client(), Dice(7));
    let mut reliable = EventSocket::builder(EventGroups::FLOWS).receive_buffer(50_000).reliable(true).open().unwrap();
    let (mut points, mut delivered) = (0, 0);
    while begin.elapsed() < duration {
        for (phase, is_churn) in PHASES.into_iter().zip([true, false]) {
            let end = Instant::now() + phase;
            while Instant::now() < end {
                if is_churn {
                    churn(&mut client, &mut dice, 4000, 300);
                } else {
                    delivered += std::iter::from_fn(|| reliable.try_next().unwrap().map(drop)).count();
                }
                let until = Instant::now() + Duration::from_millis(5);
                followers.iter_mut().for_each(|follower| follower.follow_until(|| Instant::now() >= until));
            }
            followers.iter_mut().for_each(Follower::check);
            points += 1;
        }
    }
    let overruns = followers.each_ref().map(|follower| follower.mirror.overruns());
    if seconds().is_some() {
        println!("{points} quiet points, {delivered} events delivered reliably; overruns of the mirrors: {overruns:?}");
    }
    assert!(overruns[0] > 0 && overruns[2] == 0, "{overruns:?}");
}

/// It reads the setting every ten seconds.
fn mirror_reports_events_switched_off(lab: &Lab) {
    let mut mirror = Mirror::open().unwrap();
    mirror.synchronize().unwrap();
    lab.sysctl(sysctl::EVENTS, 0);
    assert!(!mirror.events_enabled());
    lab.client().create(&udp_flow(1)).unwrap();
    let error = mirror.next_within(Duration::from_secs(30)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::EventsDisabled);
    assert_eq!(mirror.next_within(Duration::from_millis(10)).unwrap(), None);
    lab.sysctl(sysctl::EVENTS, 1);
    let change = mirror.next_within(Duration::from_secs(30)).unwrap().unwrap();
    assert_eq!((change.kind, change.inferred), (ChangeKind::Appeared, true));
}

fn parts_of_different_namespaces_are_refused(lab: &Lab) {
    let elsewhere = thread::spawn(|| {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        EventSocket::open(EventGroups::FLOWS).unwrap()
    });
    let error = Mirror::new(elsewhere.join().unwrap(), lab.client()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("different network namespaces"), "{error}");
}

fn listener_with_a_filter_is_refused(lab: &Lab) {
    let builder = EventSocket::builder(EventGroups::FLOWS).filter(&"proto tcp".parse().unwrap());
    let error = Mirror::new(builder.open().unwrap(), lab.client()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

fn resized_table_makes_no_flow_vanish(lab: &Lab) {
    resize_during_dumps(lab, Follower::new(32 << 20));
}

fn table_resized_while_threads_dump_makes_no_flow_vanish(lab: &Lab) {
    resize_during_dumps(lab, Follower::new(32 << 20).on_threads());
}

/// The table is resized to another size and back all the time, while the mirror dumps it all the time.
fn resize_during_dumps(lab: &Lab, mut follower: Follower) {
    const BUCKETS: &str = "/proc/sys/net/netfilter/nf_conntrack_buckets";
    let buckets: u32 = std::fs::read_to_string(BUCKETS).unwrap().trim().parse().unwrap();
    create(&mut lab.client(), (1..=20_000).map(udp_flow));
    follower.check();
    follower.mirror = follower.mirror.audit_every(Some(Duration::from_millis(1)));
    let resize = move || {
        // Only the initial namespace may: the main thread of the tests has stayed there.
        let initial = NetworkNamespace::of_process(std::process::id()).unwrap();
        let write = |buckets: u32| initial.run(|| std::fs::write(BUCKETS, buckets.to_string()).unwrap()).unwrap();
        for _ in 0..20 {
            write(buckets / 4);
            write(buckets);
        }
    };
    let resizer = thread::spawn(resize);
    follower.follow_until(|| resizer.is_finished());
    resizer.join().unwrap();
    let dumps = follower.mirror.dumps();
    follower.mirror = follower.mirror.audit_every(None);
    follower.check();
    assert_eq!(follower.inferred.get(&ChangeKind::Vanished), None, "after {dumps} dumps");
}
