//! Dumps, sent one datagram at a time. The table may change between two datagrams.

use super::{
    datagram::{self, Head, netfilter},
    fault::Fault,
    filter::FlowFilter,
    kernel::{Counts, Kernel},
    table::Place,
};
use crate::{
    error::Errno,
    model::{Counters, CpuStatistics, ExpectationStatistics, Family},
    wire::{Flags, MessageType, NetfilterHeader},
};

/// The contents of a dump, and its progress.
#[derive(Clone, Debug)]
pub(super) enum DumpSubject {
    Flows {
        filter: Option<FlowFilter>,
        zero_counters: bool,
        last: Option<Place>,
    },
    /// Dying or unconfirmed flows, which the fake kernel never has between two requests.
    Nothing,
    Processors {
        next: u16,
    },
    Expectations {
        family: Family,
        master: Option<u32>,
        last: u64,
    },
    ProcessorsOfExpectations {
        next: u16,
    },
}

/// A dump under way on a socket.
#[derive(Debug)]
pub(super) struct RunningDump {
    subject: DumpSubject,
    sequence: u32,
    port: u32,
    /// Send each datagram twice.
    repeats: bool,
    /// The datagram to send again.
    repeated: Option<Vec<u8>>,
    /// The number of entries until the dump fails, and the error number.
    fails: Option<(usize, Errno)>,
}

/// A datagram of a dump.
pub(super) enum DumpPart {
    Entries(Vec<u8>),
    End(Vec<u8>),
}

impl RunningDump {
    pub(super) fn new(subject: DumpSubject, sequence: u32, port: u32, faults: &[Fault]) -> Self {
        let fails = faults.iter().find_map(|fault| match fault {
            Fault::EndDump { after, errno } => Some((*after, *errno)),
            _ => None,
        });
        Self { subject, sequence, port, repeats: faults.contains(&Fault::RepeatEntries), repeated: None, fails }
    }

    /// Returns the next datagram, of at most `limit` bytes. The end of a dump is a separate datagram.
    pub(super) fn next(&mut self, kernel: &mut Kernel, limit: usize) -> DumpPart {
        if let Some(datagram) = self.repeated.take() {
            return DumpPart::Entries(datagram);
        }
        let mut bytes = Vec::new();
        for _ in 0..kernel.settings.entries_per_datagram {
            let errno = self.fails.filter(|(left, _)| *left == 0).map(|(_, errno)| errno);
            match errno {
                Some(errno) if bytes.is_empty() => {
                    return DumpPart::End(datagram::done(self.sequence, self.port, errno));
                }
                Some(_) => break,
                None => {}
            }
            let before = self.subject.clone();
            let Some(entry) = self.entry(kernel) else { break };
            if !bytes.is_empty() && bytes.len() + entry.len() > limit {
                // The next datagram repeats it. Like the kernel, this has zeroed the counters already, so they are lost.
                self.subject = before;
                break;
            }
            bytes.extend_from_slice(&entry);
            if let Some((left, _)) = &mut self.fails {
                *left -= 1;
            }
        }
        if bytes.is_empty() {
            return DumpPart::End(datagram::done(self.sequence, self.port, Errno(0)));
        }
        if self.repeats {
            self.repeated = Some(bytes.clone());
        }
        DumpPart::Entries(bytes)
    }

    /// The next entry.
    fn entry(&mut self, kernel: &mut Kernel) -> Option<Vec<u8>> {
        let head = |message_type, flags| Head { message_type, flags, sequence: self.sequence, port: self.port };
        match &mut self.subject {
            DumpSubject::Nothing => None,
            DumpSubject::Flows { filter, zero_counters, last } => {
                let place = next_flow(kernel, filter.as_ref(), *last)?;
                *last = Some(place);
                let mut flags = Flags::MULTI;
                let is_marked = kernel.settings.release >= super::release::Release::TUPLE_FILTER;
                flags.set(Flags::DUMP_FILTERED, filter.is_some() && is_marked);
                Some(write_flow(kernel, place, *zero_counters, 0, head(MessageType::FLOW_NEW, flags)))
            }
            DumpSubject::Expectations { family, master, last } => {
                let (serial, entry) = kernel.expectations.after(*last).find(|(_, entry)| {
                    (*family == Family::UNSPEC || entry.family() == *family)
                        && master.is_none_or(|master| entry.master == master)
                })?;
                *last = serial;
                let present = kernel.present();
                let header = NetfilterHeader::new(entry.family());
                let head = head(MessageType::EXPECTATION_NEW, Flags::MULTI);
                Some(netfilter(head, header, |attributes| entry.encode(&present, attributes)))
            }
            DumpSubject::Processors { next } => {
                let cpu = next_processor(next, kernel)?;
                let counts = cpu_statistics(if cpu == 0 { kernel.counts } else { Counts::default() });
                let header = NetfilterHeader::new(Family::UNSPEC).with_resource(cpu);
                let head = head(MessageType::CPU_STATISTICS, Flags::MULTI);
                Some(netfilter(head, header, |attributes| counts.encode(attributes)))
            }
            DumpSubject::ProcessorsOfExpectations { next } => {
                let cpu = next_processor(next, kernel)?;
                let counts = expectation_statistics(if cpu == 0 { kernel.counts } else { Counts::default() });
                let header = NetfilterHeader::new(Family::UNSPEC).with_resource(cpu);
                // The kernel uses this type by mistake.
                let head = head(MessageType::FLOW_GET_ZERO_COUNTERS, Flags::MULTI);
                Some(netfilter(head, header, |attributes| counts.encode(attributes)))
            }
        }
    }
}

/// Returns the next selected flow. Ends the expired flows before it.
fn next_flow(kernel: &mut Kernel, filter: Option<&FlowFilter>, last: Option<Place>) -> Option<Place> {
    let mut expired = Vec::new();
    let mut found = None;
    for (place, entry) in kernel.flows.after(last) {
        if entry.is_expired(kernel.now) {
            expired.push(place);
        } else if filter.is_none_or(|filter| filter.selects(entry)) {
            found = Some(place);
            break;
        }
    }
    expired.into_iter().for_each(|place| kernel.end(place, 0));
    found
}

/// Encodes a flow as a reply, and zeroes its counters if requested.
pub(super) fn write_flow(
    kernel: &mut Kernel,
    place: Place,
    zero_counters: bool,
    own_references: u32,
    head: Head,
) -> Vec<u8> {
    let Some(entry) = kernel.flows.get(place) else { return Vec::new() };
    let (references, present) = (kernel.flows.references(entry) + own_references, kernel.present());
    let header = NetfilterHeader::new(entry.family());
    let bytes = netfilter(head, header, |attributes| entry.encode(references, &present, attributes));
    if zero_counters {
        if let Some(counters) = kernel.flows.get_mut(place).and_then(|entry| entry.counters.as_mut()) {
            *counters = [Counters::default(); 2];
        }
    }
    bytes
}

fn next_processor(next: &mut u16, kernel: &Kernel) -> Option<u16> {
    let cpu = *next;
    *next = next.saturating_add(1);
    (cpu < kernel.settings.processors).then_some(cpu)
}

const fn cpu_statistics(counts: Counts) -> CpuStatistics {
    CpuStatistics {
        cpu: 0,
        searched: None,
        found: Some(0),
        new: None,
        invalid: Some(0),
        ignore: None,
        delete: None,
        delete_list: None,
        insert: Some(counts.insert),
        insert_failed: Some(0),
        drop: Some(counts.drop),
        early_drop: Some(0),
        error: Some(0),
        search_restart: Some(0),
        clash_resolve: Some(0),
        chain_too_long: Some(0),
    }
}

const fn expectation_statistics(counts: Counts) -> ExpectationStatistics {
    ExpectationStatistics {
        cpu: 0,
        new: Some(counts.expect_new),
        create: Some(counts.expect_create),
        delete: Some(counts.expect_delete),
    }
}
