//! A table stays whole whatever it is fed: every flow is found in every way, and the changes tell it all.

use std::collections::HashMap;

use ctnetlink::{
    Change, ChangeKind, Event, EventKind, Flow, FlowKey, FlowTable, FlowTimes, Helper, Labels, ProtocolInfo, Status,
    TableEntry, TcpInfo, TcpState, Timestamp, Tuple,
    wire::{MessageType, Messages},
};

use super::{source::Source, values};

/// No message begins with this, since the length of all that the kernel sends is even: what follows is not a datagram, but
/// what is to happen.
const STEPS: u8 = 0xff;

pub fn holds(bytes: &[u8]) {
    let mut world = World { table: FlowTable::new(), followed: HashMap::new() };
    match bytes {
        [STEPS, steps @ ..] => {
            let mut source = Source(steps);
            let mut taken = 0_usize;
            while !source.is_empty() {
                world.step(&mut source);
                taken += 1;
                // To look at all of a large table after each step would be to do little else.
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
    world.settle();
    world.check();
}

/// The table, and somebody who knows nothing but the changes.
struct World {
    table: FlowTable,
    followed: HashMap<Key, Flow>,
}

/// What tells flows apart: the original tuple, and the zone that it is looked up in.
type Key = (Tuple, u16);

fn key(mut tuple: Tuple, zone: Option<u16>) -> Key {
    let zone = tuple.zone.take().or(zone).unwrap_or(0);
    (tuple, zone)
}

impl World {
    fn step(&mut self, source: &mut Source<'_>) {
        let mut changes = Vec::new();
        match source.below(13) {
            0 => self.table.begin_dump(),
            1 => self.table.end_dump(),
            2 => self.table.abandon_dump(),
            3 => self.table.note_loss(),
            4 => changes.extend(self.table.next_vanished()),
            5 => self.table.apply(&Event::Overrun, &mut changes),
            6 => {
                let length = source.u8().into();
                return self.receive(source.take(length));
            }
            // So many that the indexes grow, and shrink when they end.
            7 => {
                let (first, count, kind) = (source.u8(), source.below(100), kind(source));
                for port in (first..=u8::MAX).take(count) {
                    self.table.apply_flow(kind, Flow::new(tuple(port), tuple(port).inverted().unwrap()), &mut changes);
                }
            }
            8 | 9 => self.table.apply_entry(flow(source), &mut changes),
            _ => self.table.apply_flow(kind(source), flow(source), &mut changes),
        }
        self.follow(changes);
    }

    /// Takes datagrams as a socket gives them: entries of a dump, and events.
    fn receive(&mut self, datagrams: &[u8]) {
        for message in Messages::new(datagrams).map_while(Result::ok) {
            let mut changes = Vec::new();
            let is_entry = message.header().flags.contains(ctnetlink::wire::Flags::MULTI);
            match (Flow::decode(&message), Event::parse(&message)) {
                (Ok(flow), _) if is_entry && message.header().message_type == MessageType::FLOW_NEW => {
                    self.table.apply_entry(flow, &mut changes);
                }
                (_, Ok(event)) => self.table.apply(&event, &mut changes),
                _ => {}
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

    /// A dump that shows nothing empties the table.
    fn settle(&mut self) {
        self.table.begin_dump();
        self.table.end_dump();
        while let Some(change) = self.table.next_vanished() {
            self.follow(vec![change]);
        }
        assert!(self.table.is_empty() && self.table.is_synchronised() && !self.table.needs_dump());
    }

    fn check(&self) {
        assert_eq!(self.table.len(), self.followed.len());
        assert_eq!(self.table.iter().count(), self.followed.len());
        assert_eq!(self.table.is_empty(), self.followed.is_empty());
        assert_eq!(self.table.count_by(|entry| entry.protocol()).values().sum::<usize>(), self.table.len());
        for entry in self.table.iter() {
            let now = entry.to_flow();
            assert_eq!(told(&now), told(&self.followed[&key(now.original, now.zone)]));
            let is_it = |found: TableEntry<'_>| found.original() == entry.original() && found.zone() == entry.zone();
            for mut wanted in [FlowKey::original(now.original), FlowKey::reply(now.reply)] {
                wanted.zone = now.zone;
                assert!(self.table.get(wanted).is_some_and(is_it), "{now:?}");
                wanted.id = now.id;
                assert!(self.table.get(wanted).is_some_and(is_it), "{now:?}");
            }
            if let Some(id) = now.id {
                assert_eq!(self.table.with_id(id).filter(|found| is_it(*found)).count(), 1);
                assert!(self.table.with_id(id).all(|entry| entry.id() == Some(id)));
            }
        }
    }
}

/// What a change tells of a flow: not what changes with every packet.
fn told(flow: &Flow) -> impl PartialEq + std::fmt::Debug {
    let states = (flow.tcp_state(), flow.sctp_state(), flow.dccp_state());
    let helper = flow.helper.as_ref().map(|helper| helper.name.clone());
    let reply = key(flow.reply, flow.zone);
    (reply, flow.status, flow.mark.unwrap_or(0), states, flow.labels.unwrap_or_default(), helper)
}

fn kind(source: &mut Source<'_>) -> EventKind {
    source.pick(&[EventKind::New, EventKind::Update, EventKind::Destroy])
}

fn tuple(port: u8) -> Tuple {
    Tuple::tcp(([10, 0, 0, 1], port.into()).into(), ([10, 0, 0, 2], 80).into())
}

/// Flows of so few tuples, zones and identifiers that they meet; now and then any flow at all.
fn flow(source: &mut Source<'_>) -> Flow {
    if source.below(16) == 0 {
        return values::flow(source);
    }
    let [original, reply] = [source.below(6) as u8, source.below(6) as u8];
    let mut flow = Flow::new(tuple(original), tuple(reply + 100));
    flow.zone = source.pick(&[None, None, None, Some(0), Some(1)]);
    flow.original.zone = source.pick(&[None, None, None, Some(1)]);
    flow.id = source.pick(&[None, Some(1), Some(2), Some(3)]);
    flow.status = source.pick(&[None, Some(Status::ASSURED), Some(Status::DYING), Some(Status::NAT_CLASH)]);
    flow.mark = source.pick(&[None, Some(0), Some(1)]);
    let state = source.pick(&[None, Some(TcpState::SYN_SENT), Some(TcpState::CLOSE)]);
    flow.protocol_info = state.map(|state| ProtocolInfo::Tcp(TcpInfo::new(state)));
    flow.helper = source.pick(&[None, None, Some("ftp"), Some("sip")]).map(Helper::new);
    flow.labels = source.pick(&[None, Some(0), Some(1)]).map(Labels);
    let start = source.pick(&[None, None, Some(0), Some(1), Some(2)]);
    flow.times = start.map(|start| FlowTimes::new(Timestamp(start), None));
    flow
}
