//! The property that fuzzing tests: whatever a table is fed, every flow is found in every way, and the changes reproduce
//! the table.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a property that panics does not hold")]

use std::{collections::HashMap, net::Ipv6Addr};

use super::{Change, ChangeKind, FlowTable, TableEntry};
use crate::{
    Event, EventKind, EventRef, Flow, FlowKey, FlowTimes, GreKeys, Helper, Labels, Layer4, Protocol, ProtocolInfo,
    Status, TcpInfo, TcpState, Timestamp, Tuple,
    wire::{Flags, MessageType, Messages},
};

/// No message begins with this byte, since all lengths that the kernel sends are even: steps follow, not a datagram.
const STEPS: u8 = 0xff;

/// Feeds a table the datagrams, or the script of steps, in the bytes.
///
/// # Panics
///
/// Panics if the property does not hold.
pub fn holds(bytes: &[u8]) {
    let mut world = World { table: FlowTable::new(), followed: HashMap::new() };
    match bytes {
        [STEPS, steps @ ..] => {
            let mut choices = Choices(steps);
            let mut taken = 0_usize;
            while !choices.0.is_empty() {
                world.step(&mut choices);
                taken += 1;
                // Checking all of a large table after each step would take most of the time.
                if world.table.len() < 32 || taken % 16 == 0 {
                    world.check();
                }
            }
        }
        datagrams => {
            world.receive(datagrams);
            world.check();
        }
    }
    world.empty_by_a_dump();
    world.check();
}

/// Bytes as choices, and zeros when they are used up.
struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// A table, and a follower that knows only the changes.
struct World {
    table: FlowTable,
    followed: HashMap<(Tuple, u16), Flow>,
}

/// The original tuple, and the zone that it is looked up in.
fn key(mut tuple: Tuple, zone: Option<u16>) -> (Tuple, u16) {
    let zone = tuple.zone.take().or(zone).unwrap_or(0);
    (tuple, zone)
}

impl World {
    fn step(&mut self, choices: &mut Choices<'_>) {
        let mut changes = Vec::new();
        match choices.below(13) {
            0 => self.table.begin_dump(),
            1 => self.table.end_dump(),
            2 => self.table.abandon_dump(),
            3 => self.table.note_loss(),
            4 => changes.extend(self.table.next_vanished()),
            5 => self.table.mark_events_drained(),
            6 => {
                let length = choices.byte().into();
                return self.receive(choices.take(length));
            }
            // So many that the indexes grow, and shrink when they end.
            7 => {
                let (first, count, kind) = (choices.byte(), choices.below(100), kind(choices));
                for port in (first..=u8::MAX).take(count) {
                    let flow = Flow::new(tuple(port), tuple(port).inverted().unwrap());
                    self.table.apply_flow(kind, flow, &mut changes);
                }
            }
            8 | 9 => self.table.apply_entry(flow(choices), &mut changes),
            _ => self.table.apply_flow(kind(choices), flow(choices), &mut changes),
        }
        self.follow(changes);
    }

    /// Applies datagrams as a socket receives them: entries of a dump, and events.
    fn receive(&mut self, datagrams: &[u8]) {
        for message in Messages::new(datagrams).map_while(Result::ok) {
            let mut changes = Vec::new();
            let is_entry = message.header().flags.contains(Flags::MULTI);
            match (Flow::decode(&message), EventRef::parse(&message)) {
                (Ok(flow), _) if is_entry && message.header().message_type == MessageType::FLOW_NEW => {
                    self.table.apply_entry(flow, &mut changes);
                }
                (_, Ok(event)) => self.table.apply(&event.to_event(), &mut changes),
                _ => self.table.apply(&Event::Overrun, &mut changes),
            }
            self.follow(changes);
        }
    }

    fn follow(&mut self, changes: Vec<Change>) {
        for Change { kind, flow, .. } in changes {
            let key = key(flow.original, flow.zone);
            let known = match kind {
                ChangeKind::Vanished => self.followed.remove(&key),
                _ => self.followed.insert(key, flow),
            };
            assert_eq!(known.is_none(), kind == ChangeKind::Appeared, "{kind}");
        }
    }

    fn empty_by_a_dump(&mut self) {
        self.table.begin_dump();
        assert!(self.table.contradictions() <= self.table.len());
        self.table.end_dump();
        while let Some(change) = self.table.next_vanished() {
            self.follow(vec![change]);
        }
        assert!(self.table.is_empty() && self.table.is_synchronized() && !self.table.needs_dump());
    }

    fn check(&self) {
        assert_eq!(self.table.len(), self.followed.len());
        assert_eq!(self.table.iter().count(), self.followed.len());
        assert_eq!(self.table.is_empty(), self.followed.is_empty());
        assert_eq!(self.table.count_by(|entry| entry.protocol()).values().sum::<usize>(), self.table.len());
        for entry in &self.table {
            let now = entry.to_flow();
            assert_eq!(essentials(&now), essentials(&self.followed[&key(now.original, now.zone)]));
            let is_it = |found: TableEntry<'_>| found.original() == entry.original() && found.zone() == entry.zone();
            for mut wanted in [FlowKey::original(now.original), FlowKey::reply(now.reply)] {
                wanted.zone = now.zone;
                assert!(self.table.get(wanted).is_some_and(is_it), "{now:?}");
                wanted.id = now.id;
                assert!(self.table.get(wanted).is_some_and(is_it), "{now:?}");
            }
        }
    }
}

/// The attributes whose changes are reported. Attributes that change with every packet are left out.
fn essentials(flow: &Flow) -> impl PartialEq + std::fmt::Debug {
    let states = (flow.tcp_state(), flow.sctp_state(), flow.dccp_state());
    let helper = flow.helper.as_ref().map(|helper| helper.name.clone());
    let reply = key(flow.reply, flow.zone);
    (reply, flow.status, flow.mark.unwrap_or(0), states, flow.labels.unwrap_or_default(), helper)
}

fn kind(choices: &mut Choices<'_>) -> EventKind {
    choices.pick(&[EventKind::New, EventKind::Update, EventKind::Destroy])
}

/// Tuples of IPv4, IPv6 and GRE. Two of different kinds make a pair that a record cannot compress.
fn tuple(port: u8) -> Tuple {
    let mut tuple = Tuple::tcp(([10, 0, 0, 1], port.into()).into(), ([10, 0, 0, 2], 80).into());
    match port % 4 {
        0 => {
            (tuple.source, tuple.destination) = (Ipv6Addr::LOCALHOST.into(), Ipv6Addr::from(u128::from(port)).into());
        }
        1 => {
            let keys = GreKeys { source: port.into(), destination: 0 };
            (tuple.protocol, tuple.layer4) = (Protocol::GRE, Layer4::Gre(keys));
        }
        _ => {}
    }
    tuple
}

/// Flows of so few tuples, zones and identifiers that they meet. Any others come in datagrams.
fn flow(choices: &mut Choices<'_>) -> Flow {
    let [original, reply] = [choices.below(6) as u8, choices.below(6) as u8];
    let mut flow = Flow::new(tuple(original), tuple(reply + 100));
    flow.zone = choices.pick(&[None, None, None, Some(0), Some(1)]);
    flow.original.zone = choices.pick(&[None, None, None, Some(1)]);
    flow.id = choices.pick(&[None, Some(1), Some(2), Some(3)]);
    flow.status = choices.pick(&[None, Some(Status::ASSURED), Some(Status::DYING), Some(Status::NAT_CLASH)]);
    flow.mark = choices.pick(&[None, Some(0), Some(1)]);
    let state = choices.pick(&[None, Some(TcpState::SYN_SENT), Some(TcpState::CLOSE)]);
    flow.protocol_info = state.map(|state| ProtocolInfo::Tcp(TcpInfo::new(state)));
    flow.helper = choices.pick(&[None, None, Some("ftp"), Some("sip")]).map(Helper::new);
    flow.labels = choices.pick(&[None, Some(0), Some(1)]).map(Labels);
    let start = choices.pick(&[None, None, Some(0), Some(1), Some(2)]);
    flow.times = start.map(|start| FlowTimes::new(Timestamp(start), None));
    flow
}

#[cfg(test)]
mod tests {
    use std::{fs, panic::catch_unwind, path::Path};

    use proptest::prelude::*;

    use super::*;

    /// Replays every input that fuzzing has left.
    #[test]
    fn the_corpus_of_fuzzing_keeps_tables_whole() {
        let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
        let files = |kind| fs::read_dir(fuzz.join(kind).join("events")).into_iter().flatten();
        let mut inputs = 0;
        for path in ["corpus", "regressions"].into_iter().flat_map(files).map(|file| file.unwrap().path()) {
            let bytes = fs::read(&path).unwrap();
            assert!(catch_unwind(|| holds(&bytes)).is_ok(), "{}", path.display());
            inputs += 1;
        }
        assert!(inputs >= 50, "{inputs} inputs: the corpus is missing");
    }

    proptest! {
        #[test]
        fn random_steps_keep_tables_whole(steps in proptest::collection::vec(any::<u8>(), 0..600)) {
            holds(&[&[STEPS], steps.as_slice()].concat());
        }
    }
}
