//! The table that stays true.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Debug,
    hash::Hash,
    sync::{Arc, RwLock},
    thread,
    time::{Duration, Instant},
};

use ctnetlink::{
    Change, ChangeKind, Client, EventGroups, EventSocket, Flow, FlowKey, Mirror, Protocol, Status, TcpState, Tuple,
    request::{DeleteFlow, FlowUpdate, NewFlow, UpdateFlow},
    sysctl,
};

use crate::{
    cases,
    lab::{Lab, tcp_flow, udp_flow, udp6_flow},
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
}

/// A mirror, and somebody who knows nothing but the changes.
struct Follower {
    mirror: Mirror,
    flows: HashMap<(Tuple, u16), Flow>,
    inferred: BTreeMap<ChangeKind, usize>,
    told: BTreeMap<ChangeKind, usize>,
}

impl Follower {
    fn new(receive_buffer: usize) -> Self {
        let events = EventSocket::builder(EventGroups::FLOWS).receive_buffer(receive_buffer).open().unwrap();
        let mirror = Mirror::new(events, Client::open().unwrap());
        Self { mirror, flows: HashMap::new(), inferred: BTreeMap::new(), told: BTreeMap::new() }
    }

    fn take(&mut self, change: Change) {
        let key = (change.flow.original, change.flow.zone.unwrap_or(0));
        let before = match change.kind {
            ChangeKind::Vanished => self.flows.remove(&key),
            _ => self.flows.insert(key, change.flow),
        };
        assert_eq!(before.is_none(), change.kind == ChangeKind::Appeared, "{} {key:?}", change.kind);
        let counts = if change.inferred { &mut self.inferred } else { &mut self.told };
        *counts.entry(change.kind).or_insert(0) += 1;
    }

    /// Takes all that has come.
    fn catch_up(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            while let Some(change) = self.mirror.try_next().unwrap() {
                self.take(change);
            }
            if self.mirror.table().is_synchronised() {
                return;
            }
            assert!(Instant::now() < deadline, "it does not get synchronised");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Holds table and follower against the kernel, when nothing happens.
    fn check(&mut self, lab: &Lab) {
        // On a busy machine what is told last may be told late: a table that stays different is wrong.
        for _ in 0..20 {
            let kernel = self.quiet(lab);
            if essentials(self.mirror.table().iter().map(|entry| entry.to_flow())) == kernel {
                break;
            }
            thread::sleep(Duration::from_millis(50));
        }
        let kernel = self.quiet(lab);
        let table = essentials(self.mirror.table().iter().map(|entry| entry.to_flow()));
        let followed = essentials(self.flows.values().cloned());
        assert_same(&table, &kernel, "the table is not the kernel's");
        assert_same(&followed, &kernel, "the changes do not lead to the kernel's table");
    }

    /// What the kernel has when nothing happens any more.
    fn quiet(&mut self, lab: &Lab) -> HashMap<(Tuple, u16), Essentials> {
        // A dump evicts what is overdue, which is an event; it is quiet when the next dump shows the same.
        let mut kernel = essentials(lab.flows());
        loop {
            self.catch_up();
            let now = essentials(lab.flows());
            if now == kernel {
                return kernel;
            }
            kernel = now;
        }
    }
}

fn assert_same<K: Eq + Hash + Debug, V: PartialEq + Debug>(ours: &HashMap<K, V>, kernel: &HashMap<K, V>, what: &str) {
    let only_in = |one: &HashMap<K, V>, other: &HashMap<K, V>| {
        let different = one.iter().filter(|(key, value)| other.get(key) != Some(value));
        different.take(5).map(|entry| format!("{entry:?}")).collect::<Vec<_>>()
    };
    let (more, less) = (only_in(ours, kernel), only_in(kernel, ours));
    assert!(more.is_empty() && less.is_empty(), "{what}\nours: {more:#?}\nthe kernel's: {less:#?}");
}

type Essentials = (Tuple, Option<Status>, u32, Option<TcpState>, Option<u32>);

/// What a table keeps true.
fn essentials(flows: impl IntoIterator<Item = Flow>) -> HashMap<(Tuple, u16), Essentials> {
    let essential = |flow: Flow| {
        let state = flow.tcp_state();
        ((flow.original, flow.zone.unwrap_or(0)), (flow.reply, flow.status, flow.mark.unwrap_or(0), state, flow.id))
    };
    flows.into_iter().map(essential).collect()
}

fn create(client: &mut Client, flows: impl IntoIterator<Item = NewFlow>) {
    let mut batch = client.batch();
    for flow in flows {
        batch.push(&flow).unwrap();
    }
    assert!(batch.finish().unwrap().failures().is_empty());
}

fn it_begins_with_what_is_there_and_follows(lab: &Lab) {
    // Otherwise the flows that are there have events only if some listener was there before, in whatever namespace.
    lab.sysctl(sysctl::EVENTS, 1);
    let mut client = lab.client();
    create(&mut client, (1..=300).map(udp_flow));
    let mut follower = Follower::new(1 << 20);
    follower.check(lab);
    assert_eq!(follower.inferred, BTreeMap::from([(ChangeKind::Appeared, 300)]));
    client.create(&tcp_flow(1)).unwrap();
    client.update(FlowKey::original(udp_flow(5).original), &FlowUpdate::new().mark(9)).unwrap();
    client.delete(FlowKey::original(udp_flow(6).original)).unwrap();
    follower.check(lab);
    let once = [ChangeKind::Appeared, ChangeKind::Changed, ChangeKind::Vanished].map(|kind| (kind, 1));
    assert_eq!(follower.told, BTreeMap::from(once));
    let table = follower.mirror.table();
    let by_protocol = table.count_by(|flow| flow.protocol());
    assert_eq!(by_protocol, BTreeMap::from([(Protocol::TCP, 1), (Protocol::UDP, 299)]));
    assert_eq!(table.count_by(|flow| flow.tcp_state())[&Some(TcpState::ESTABLISHED)], 1);
    assert_eq!(table.get(FlowKey::reply(udp_flow(5).reply)).unwrap().mark(), Some(9));
    assert_eq!((follower.mirror.overruns(), follower.mirror.dumps()), (0, 1));
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u16) -> u16 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u16 % sides
    }
}

/// Creates, changes and deletes at random; failures are those of flows that are there already, or not.
fn churn(client: &mut Client, dice: &mut Dice, operations: usize) {
    let flow = |number: u16| match number % 3 {
        0 => tcp_flow(number),
        1 => udp_flow(number),
        _ => udp6_flow(number),
    };
    let mut batch = client.batch();
    for _ in 0..operations {
        let new = flow(1 + dice.roll(2000));
        let key = FlowKey::original(new.original);
        match dice.roll(8) {
            0..4 => {
                let mut new = new;
                // Some end by themselves before long.
                new.timeout = if dice.roll(4) == 0 { 1 } else { 600 };
                batch.push(&new).unwrap();
            }
            4..6 => batch.push(&UpdateFlow::new(key, &FlowUpdate::new().mark(dice.roll(3).into()))).unwrap(),
            _ => batch.push(&DeleteFlow::new(key)).unwrap(),
        }
    }
    batch.finish().unwrap();
}

fn it_is_equal_to_a_dump_at_every_quiet_point_of_churn(lab: &Lab) {
    let (mut client, mut dice) = (lab.client(), Dice(1));
    let mut follower = Follower::new(16 << 20);
    for _ in 0..10 {
        churn(&mut client, &mut dice, 3000);
        follower.check(lab);
    }
    assert_eq!(follower.mirror.overruns(), 0);
}

fn what_was_lost_is_told_as_inferred_changes(lab: &Lab) {
    let mut client = lab.client();
    let mut follower = Follower::new(50_000);
    create(&mut client, (1..=1000).map(udp_flow));
    follower.check(lab);
    assert!(follower.mirror.overruns() > 0);
    assert!(follower.inferred[&ChangeKind::Appeared] > 500);
    client.flush().unwrap();
    follower.check(lab);
    assert!(follower.inferred[&ChangeKind::Vanished] > 500);
    assert!(follower.mirror.table().is_empty());
}

fn it_stays_true_while_loss_and_churn_go_on(lab: &Lab) {
    let mut client = lab.client();
    let mut follower = Follower::new(30_000);
    let storm = move || {
        let mut dice = Dice(2);
        for _ in 0..100 {
            churn(&mut client, &mut dice, 500);
        }
    };
    let writer = thread::spawn(storm);
    while !writer.is_finished() {
        if let Some(change) = follower.mirror.next_within(Duration::from_millis(1)).unwrap() {
            follower.take(change);
        }
    }
    writer.join().unwrap();
    follower.check(lab);
    assert!(follower.mirror.overruns() > 0 && follower.mirror.dumps() > 1);
}

/// So it is for flows that began before anybody listened, whom other listeners would wake.
fn an_audit_finds_what_no_event_tells(lab: &Lab) {
    lab.sysctl(sysctl::EVENTS, 0);
    let mut client = lab.client();
    let mut follower = Follower::new(1 << 20);
    follower.check(lab);
    create(&mut client, (1..=10).map(udp_flow));
    client.delete(FlowKey::original(udp_flow(1).original)).unwrap();
    follower.catch_up();
    assert!(follower.mirror.table().is_empty());
    follower.mirror.audit();
    follower.check(lab);
    client.flush().unwrap();
    create(&mut client, (10..=12).map(udp_flow));
    follower.mirror.audit();
    follower.check(lab);
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
    thread::sleep(Duration::from_millis(1300));
    follower.mirror.audit();
    follower.catch_up();
    assert_eq!(follower.mirror.table().len(), 1);
    follower.check(lab);
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
            follower.check(lab);
        }
        client.delete(FlowKey::original(new.original)).unwrap();
    }
    follower.check(lab);
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
    follower.check(lab);
    assert_eq!(follower.mirror.table().len(), 3);
    client.delete(FlowKey::original(udp_flow(1).original).in_zone(1)).unwrap();
    follower.check(lab);
    follower.mirror.audit();
    follower.check(lab);
    let zones = follower.mirror.table().count_by(|flow| flow.zone());
    assert_eq!(zones, BTreeMap::from([(None, 1), (Some(2), 1)]));
}

fn traffic_is_followed(lab: &Lab) {
    lab.track_loopback();
    let mut follower = Follower::new(1 << 20);
    let connection = lab.tcp("127.0.0.1:0");
    lab.udp("127.0.0.1:0");
    lab.ping("127.0.0.1".parse().unwrap());
    follower.check(lab);
    assert!(follower.mirror.table().len() >= 3);
    drop(connection);
    follower.check(lab);
    let states = follower.mirror.table().count_by(|flow| flow.tcp_state());
    assert_eq!(states.get(&Some(TcpState::ESTABLISHED)), None);
}

fn it_is_fed_by_one_thread_and_read_by_others(lab: &Lab) {
    let mut mirror = Mirror::open().unwrap();
    mirror.synchronise().unwrap();
    let ready = mirror.waiter().unwrap();
    let mirror = Arc::new(RwLock::new(mirror));
    let fed = Arc::clone(&mirror);
    let feed = move || {
        while fed.read().unwrap().table().len() < 500 {
            assert!(ready.wait(Duration::from_secs(10)).unwrap());
            while fed.write().unwrap().try_next().unwrap().is_some() {}
        }
    };
    let feeder = thread::spawn(feed);
    create(&mut lab.client(), (1..=500).map(udp_flow));
    let deadline = Instant::now() + Duration::from_secs(10);
    while mirror.read().unwrap().table().len() < 500 {
        assert!(Instant::now() < deadline);
        thread::yield_now();
    }
    feeder.join().unwrap();
}

fn audits_come_by_themselves(lab: &Lab) {
    lab.sysctl(sysctl::EVENTS, 0);
    let mut mirror = Mirror::open().unwrap().audit_every(Some(Duration::from_millis(5)));
    mirror.synchronise().unwrap();
    lab.client().create(&udp_flow(1)).unwrap();
    let change = mirror.next_within(Duration::from_secs(10)).unwrap().unwrap();
    assert_eq!((change.kind, change.inferred), (ChangeKind::Appeared, true));
    while mirror.dumps() < 3 {
        assert_eq!(mirror.next_within(Duration::from_millis(5)).unwrap(), None);
    }
}
