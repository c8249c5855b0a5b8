//! From the event of a flow to a record.

use std::net::IpAddr;

use ctnetlink::{AnyFlow, Counters, EventKind, Layer4, Status, TcpState, Timestamp};

use super::template::{Kind, Part, Template, Version, template_of};

/// natEvent: a NAT44 session was created. IANA has no value for NAT66, so natType distinguishes them.
const SESSION_CREATE: u8 = 4;
/// natEvent: a NAT44 session was deleted.
const SESSION_DELETE: u8 = 5;
/// natType.
const NAT44: u8 = 1;
/// natType.
const NAT66: u8 = 5;

/// flowEndReason: no packets for a while. An early drop of the kernel looks the same.
const IDLE_TIMEOUT: u8 = 1;
/// flowEndReason: the protocol ended the flow.
const END_DETECTED: u8 = 3;
/// flowEndReason: a program deleted the flow.
const FORCED_END: u8 = 4;

/// The begin or end of a flow.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "an argument that callers build")]
pub struct Observation<'f, F> {
    /// Begin or end. Updates have no records.
    pub kind: EventKind,
    /// The flow.
    pub flow: &'f F,
    /// True if a program asked for it.
    pub by_program: bool,
    /// When the event was received, for events without a time.
    pub received: Timestamp,
}

impl<F: AnyFlow> Observation<'_, F> {
    /// Returns the template of the record. `None` if there is no record: for an update, and for the begin of a flow without
    /// translation.
    #[must_use]
    pub fn template(&self) -> Option<&'static Template> {
        let flow = self.flow;
        let counted = flow.counters_original().is_some() || flow.counters_reply().is_some();
        let kind = match (self.kind, is_translated(flow)) {
            (EventKind::New, true) => Kind::Create,
            (EventKind::Destroy, true) => Kind::Delete { counted },
            (EventKind::Destroy, false) => Kind::End { counted },
            (EventKind::New, false) | (EventKind::Update, _) => return None,
        };
        let version = if flow.original().source.is_ipv4() { Version::V4 } else { Version::V6 };
        Some(template_of(kind, version))
    }

    /// Appends the record.
    pub(super) fn write(&self, template: &Template, record: &mut Vec<u8>) {
        for part in template.parts {
            self.write_part(*part, template.version, record);
        }
    }

    fn write_part(&self, part: Part, version: Version, record: &mut Vec<u8>) {
        match part {
            Part::Event => {
                put(record, milliseconds(self.time()).to_be_bytes());
                let event = if self.kind == EventKind::New { SESSION_CREATE } else { SESSION_DELETE };
                let nat_type = if version == Version::V4 { NAT44 } else { NAT66 };
                put(record, [event, nat_type]);
            }
            Part::TranslatedFlow => self.write_flow(true, record),
            Part::Flow => self.write_flow(false, record),
            Part::Times => {
                let (start, end) = self.times();
                put(record, milliseconds(start).to_be_bytes());
                put(record, milliseconds(end).to_be_bytes());
            }
            Part::Counters => {
                for counters in [self.flow.counters_original(), self.flow.counters_reply()] {
                    let Counters { packets, bytes } = counters.unwrap_or_default();
                    put(record, bytes.to_be_bytes());
                    put(record, packets.to_be_bytes());
                }
            }
            Part::EndReason => put(record, [self.end_reason()]),
        }
    }

    fn write_flow(&self, translated: bool, record: &mut Vec<u8>) {
        let (original, reply) = (self.flow.original(), self.flow.reply());
        // The reply tuple shows the translation from the other side.
        for (address, translation) in [(original.source, reply.destination), (original.destination, reply.source)] {
            put_address(record, address);
            if translated {
                put_address(record, translation);
            }
        }
        put(record, [original.protocol.0]);
        let ports = ports(original.layer4);
        let (translated_destination, translated_source) = match reply.layer4 {
            // The identifier is the source in both directions.
            Layer4::Icmp { id, .. } => (0, id),
            layer4 => self::ports(layer4),
        };
        for (port, translation) in [(ports.0, translated_source), (ports.1, translated_destination)] {
            put(record, port.to_be_bytes());
            if translated {
                put(record, translation.to_be_bytes());
            }
        }
        let icmp = match original.layer4 {
            Layer4::Icmp { icmp_type, code, .. } => [icmp_type, code],
            _ => [0; 2],
        };
        put(record, icmp);
        let zone = self.flow.zone().or(original.zone).unwrap_or(0);
        put(record, u32::from(zone).to_be_bytes());
        put(record, u64::from(self.flow.id().unwrap_or(0)).to_be_bytes());
    }

    /// The time of the event. A kernel before 6.14 does not send it.
    fn time(&self) -> Timestamp {
        let stop = || self.flow.times().and_then(|times| times.stop);
        self.flow.event_time().or_else(stop).unwrap_or(self.received)
    }

    /// Begin and end of the flow so far. Without timestamps of the kernel, an end is all that is known.
    fn times(&self) -> (Timestamp, Timestamp) {
        let times = self.flow.times().unwrap_or_default();
        let end = times.stop.unwrap_or_else(|| self.time());
        (times.start.unwrap_or(end), end)
    }

    fn end_reason(&self) -> u8 {
        let closed = [TcpState::LAST_ACK, TcpState::TIME_WAIT, TcpState::CLOSE];
        if self.by_program {
            FORCED_END
        } else if self.flow.tcp_state().is_some_and(|state| closed.contains(&state)) {
            END_DETECTED
        } else {
            IDLE_TIMEOUT
        }
    }
}

/// The bits are set too if a rule translated the flow to the addresses that it has.
fn is_translated(flow: &impl AnyFlow) -> bool {
    let bits = Status::SRC_NAT | Status::DST_NAT;
    flow.status().is_some_and(|status| status.intersects(bits)) || flow.is_snat() || flow.is_dnat()
}

/// Source and destination port, or the identifier of an ICMP query as the source.
const fn ports(layer4: Layer4) -> (u16, u16) {
    match layer4 {
        Layer4::Ports { source, destination } => (source, destination),
        Layer4::Icmp { id, .. } => (id, 0),
        _ => (0, 0),
    }
}

const fn milliseconds(time: Timestamp) -> u64 {
    time.0 / 1_000_000
}

fn put<const N: usize>(record: &mut Vec<u8>, bytes: [u8; N]) {
    record.extend_from_slice(&bytes);
}

fn put_address(record: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => put(record, address.octets()),
        IpAddr::V6(address) => put(record, address.octets()),
    }
}
