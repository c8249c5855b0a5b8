//! The table that stays true.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, RwLock},
    thread,
    time::{Duration, Instant},
};

use ctnetlink::{
    ChangeKind, ErrorKind, EventGroups, EventSocket, FlowKey, FlowUpdate, Mirror, Protocol, TcpState, Tuple, sysctl,
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
    it_begins_with_what_is_there_and_follows;
    it_is_equal_to_a_dump_at_every_quiet_point_of_churn;
    what_was_lost_is_told_as_inferred_changes;
    it_stays_true_while_loss_and_churn_go_on;
    an_audit_finds_what_no_event_tells;
    an_audit_finds_what_expired;
    a_tuple_that_is_used_again_is_another_flow;
    zones_are_kept_apart;
    traffic_is_followed: "ip", "nft";
    it_is_fed_by_one_thread_and_read_by_others;
    audits_come_by_themselves;
    the_next_flow_of_a_tuple_is_told_where_the_end_was_not;
    repeated_ends_leave_new_flows_alone;
    repeated_ends_leave_updated_flows_alone;
    repeated_ends_leave_new_flows_alone_during_audits;
    repeated_begins_are_not_new_flows;
    repeated_begins_are_not_new_flows_after_an_audit;
    mirrors_stay_equal_beside_a_reliable_listener;
    a_mirror_reports_that_events_were_switched_off;
    listener_and_client_of_different_namespaces_are_refused;
    a_listener_with_a_filter_is_refused;
}

fn it_begins_with_what_is_there_and_follows(lab: &Lab) {
    // Otherwise the flows that are there have events only if some listener was there before, in whatever namespace.
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
    assert_eq!(follower.told, BTreeMap::from(once));
    let table = follower.mirror.table();
    let by_protocol = table.count_by(|flow| flow.protocol());
    assert_eq!(by_protocol, BTreeMap::from([(Protocol::TCP, 1), (Protocol::UDP, 299)]));
    assert_eq!(table.count_by(|flow| flow.tcp_state())[&Some(TcpState::ESTABLISHED)], 1);
    assert_eq!(table.get(FlowKey::reply(udp_flow(5).reply)).unwrap().mark(), Some(9));
    assert_eq!((follower.mirror.overruns(), follower.mirror.dumps()), (0, 1));
}

fn it_is_equal_to_a_dump_at_every_quiet_point_of_churn(lab: &Lab) {
    let (mut client, mut dice) = (lab.client(), Dice(1));
    let mut follower = Follower::new(16 << 20);
    for _ in 0..10 {
        churn(&mut client, &mut dice, 2000, 3000);
        follower.check();
    }
    assert_eq!(follower.mirror.overruns(), 0);
}

fn what_was_lost_is_told_as_inferred_changes(lab: &Lab) {
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

fn it_stays_true_while_loss_and_churn_go_on(lab: &Lab) {
    let mut client = lab.client();
    let mut follower = Follower::new(30_000);
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

/// So it is for flows that began before anybody listened, whom other listeners would wake.
fn an_audit_finds_what_no_event_tells(lab: &Lab) {
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
    assert!(follower.told.is_empty());
}

/// The kernel takes up to a minute to notice by itself.
fn an_audit_finds_what_expired(lab: &Lab) {
    let mut short = udp_flow(1);
    short.timeout = 1;
    let mut follower = Follower::new(1 << 20);
    create(&mut lab.client(), [short, udp_flow(2)]);
    follower.catch_up();
    assert_eq!(follower.mirror.table().len(), 2);
    // Whoever else looked for the flow would have the kernel notice, and tell.
    until(|| {
        follower.mirror.audit();
        follower.catch_up();
        follower.mirror.table().len() == 1
    });
    follower.check();
}

/// The new flow often has the identifier of the old one: it is put in the same place.
fn a_tuple_that_is_used_again_is_another_flow(lab: &Lab) {
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

fn zones_are_kept_apart(lab: &Lab) {
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

fn it_is_fed_by_one_thread_and_read_by_others(lab: &Lab) {
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

fn audits_come_by_themselves(lab: &Lab) {
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

/// A flow that began while events were off ends without one, and what takes its tuple most often has its identifier.
fn the_next_flow_of_a_tuple_is_told_where_the_end_was_not(lab: &Lab) {
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

/// A listener that the kernel has to deliver to, and that reads nothing: the kernel repeats to every listener what this
/// one could not take.
fn reliable_listener(groups: EventGroups) -> EventSocket {
    EventSocket::builder(groups).receive_buffer(1024).reliable(true).open().unwrap()
}

/// Creates, deletes and creates flows again, while the kernel repeats the ends of the first ones to every listener:
/// slowly as long as the reliable listener does not read, and all of them once it has gone.
fn repeat_ends(lab: &Lab, follower: &mut Follower, mut meanwhile: impl FnMut(u16)) {
    let mut raw = EventSocket::builder(EventGroups::DESTROY).receive_buffer(4 << 20).open().unwrap();
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
    let mut ends = 0;
    while let Some(event) = raw.try_next().unwrap() {
        let (_, end) = event.flow().unwrap();
        let end = &end.flow;
        // What makes repeats harmless: as long as the kernel repeats an end, no other flow gets its identifier.
        assert_ne!(living[&end.original], end.id, "{end}");
        ends += 1;
    }
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

/// Has the kernel merge the begins of flows, which a reliable listener missed, into the next event of each.
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
        // Until no event can come that is older than the dump.
        let end = Instant::now() + Duration::from_millis(1200);
        follower.follow_until(|| Instant::now() >= end);
    }
    for number in 1..=100 {
        client.update(FlowKey::original(udp_flow(number).original), &FlowUpdate::new().mark(5)).unwrap();
    }
    follower.check();
    let begins = std::iter::from_fn(|| raw.try_next().unwrap().map(drop)).count();
    assert!(begins > 150, "the kernel repeats begins: {begins}");
    assert_eq!(follower.told, BTreeMap::from([(ChangeKind::Appeared, 100), (ChangeKind::Changed, 100)]));
    assert!(follower.inferred.is_empty(), "{:?}", follower.inferred);
}

fn repeated_begins_are_not_new_flows(lab: &Lab) {
    repeat_begins(lab, false);
}

fn repeated_begins_are_not_new_flows_after_an_audit(lab: &Lab) {
    repeat_begins(lab, true);
}

/// Three mirrors, with too little room and with enough, through churn beside a reliable listener that reads in the pauses alone.
fn mirrors_stay_equal_beside_a_reliable_listener(lab: &Lab) {
    /// How long the churn goes on, and how long the kernel may then repeat what that listener missed.
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
fn a_mirror_reports_that_events_were_switched_off(lab: &Lab) {
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

fn listener_and_client_of_different_namespaces_are_refused(lab: &Lab) {
    let elsewhere = thread::spawn(|| {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        EventSocket::open(EventGroups::FLOWS).unwrap()
    });
    let error = Mirror::new(elsewhere.join().unwrap(), lab.client()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("different network namespaces"), "{error}");
}

fn a_listener_with_a_filter_is_refused(lab: &Lab) {
    let builder = EventSocket::builder(EventGroups::FLOWS).filter(&"proto tcp".parse().unwrap());
    let error = Mirror::new(builder.open().unwrap(), lab.client()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}
