//! Requests → answers.
//!
//! A dump is answered one datagram at a time, and the table may change between two of them.

use super::{
    datagram::{self, Head, Refused, netfilter},
    expectation::ExpectationEntry,
    filter::FlowFilter,
    flow::{RawTuple, Zone},
    release::Release,
    state::{Counts, Fault, Kernel},
    table::Place,
};
use crate::{
    error::{DecodeError, DecodeErrorKind, Errno},
    message::Message,
    model::{
        Counters, CpuStatistics, Expectation, ExpectationFlags, ExpectationStatistics, Family, TableStatistics, Tuple,
    },
    request::{DeleteFlow, DumpExpectations, DumpFlows, ExpectationKey, GetFlow, Table},
    wire::{
        self, AttributeSet, CTA_EXPECT_FLAGS, CTA_EXPECT_HELP_NAME, CTA_FILTER, CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, Flags,
        MessageType, Messages, NetfilterHeader,
    },
};

/// The answer to a request, apart from the acknowledgement that the request may ask for.
#[derive(Debug)]
pub(super) enum Answer {
    /// Nothing but the acknowledgement.
    Done,
    /// A single message.
    Message(Vec<u8>),
    /// A dump, which is not acknowledged.
    Dump(DumpSubject),
}

/// A request of a process.
#[derive(Clone, Copy, Debug)]
struct Asked {
    port: u32,
    sequence: u32,
}

impl Asked {
    const fn head(self, message_type: MessageType) -> Head {
        Head { message_type, flags: Flags::MULTI, sequence: self.sequence, port: self.port }
    }
}

/// The text of most refusals by policy.
const POLICY: &str = "Attribute failed policy validation";

impl Kernel {
    /// Executes a request from the process with this port.
    pub(super) fn answer(&mut self, request: &wire::RawMessage<'_>, port: u32) -> Result<Answer, Refused> {
        let known = self.without_unknown_attributes(request);
        let known = match known.as_deref().map(|bytes| Messages::new(bytes).next()) {
            None => *request,
            Some(Some(Ok(message))) => message,
            Some(_) => return Err(Errno::EINVAL.into()),
        };
        let asked = Asked { port, sequence: request.header().sequence };
        if let Some(filter) = self.read_filter(&known)? {
            return self.answer_filtered(&known, filter, asked);
        }
        self.carry_out(Message::decode(&known).map_err(|error| refusal(&error, &known))?, asked, &known)
    }

    /// Returns the request without the attributes that this kernel version skips; `None` if there are none to skip.
    fn without_unknown_attributes(&self, request: &wire::RawMessage<'_>) -> Option<Vec<u8>> {
        let header = request.header();
        let netfilter = request.netfilter().ok()?;
        let release = self.settings.release;
        let is_delete = header.message_type == MessageType::FLOW_DELETE;
        let attributes = netfilter.attributes(AttributeSet::Flow);
        let has_tuple = [CTA_TUPLE_ORIG, CTA_TUPLE_REPLY].iter().any(|number| attributes.find(*number).is_some());
        // Before 6.12 the kernel ignored the filter in a delete that has a tuple, and deleted the flow of that tuple.
        let ignores_filter = is_delete && has_tuple && release < Release::FLUSH_TUPLE_FILTER;
        let is_unknown = |number| number > release.last_flow_attribute() || ignores_filter && number == CTA_FILTER;
        let is_of_flows = header.message_type.0 >> 8 == MessageType::FLOW_NEW.0 >> 8;
        if !is_of_flows || !attributes.filter_map(Result::ok).any(|attribute| is_unknown(attribute.number())) {
            return None;
        }
        let bytes = datagram::message(
            Head { message_type: header.message_type, flags: header.flags, sequence: header.sequence, port: 0 },
            |payload| {
                let header = NetfilterHeader::new(netfilter.family()).with_version(netfilter.version());
                payload.netfilter_header(header);
                for attribute in attributes.filter_map(Result::ok).filter(|known| !is_unknown(known.number())) {
                    let nested = if attribute.is_nested() { 1 << 15 } else { 0 };
                    payload.attribute(attribute.number() | nested, attribute.payload());
                }
            },
        );
        Some(bytes)
    }

    /// Reads the filter of a dump or flush. Returns `None` for any other request.
    fn read_filter(&self, request: &wire::RawMessage<'_>) -> Result<Option<Option<FlowFilter>>, Refused> {
        let header = request.header();
        let Ok(netfilter) = request.netfilter() else { return Ok(None) };
        let release = self.settings.release;
        let attributes = netfilter.attributes(AttributeSet::Flow);
        let has = |number| attributes.find(number).is_some();
        let family = match header.message_type {
            MessageType::FLOW_GET | MessageType::FLOW_GET_ZERO_COUNTERS if header.flags.intersects(Flags::DUMP) => {
                netfilter.family()
            }
            MessageType::FLOW_DELETE if has(CTA_FILTER) && release < Release::FLUSH_TUPLE_FILTER => {
                return Err(Errno::EOPNOTSUPP.into());
            }
            MessageType::FLOW_DELETE if has(CTA_FILTER) => netfilter.family(),
            MessageType::FLOW_DELETE if has(CTA_TUPLE_ORIG) || has(CTA_TUPLE_REPLY) => return Ok(None),
            MessageType::FLOW_DELETE if netfilter.version() == 0 || release < Release::FLUSH_FAMILY => Family::UNSPEC,
            MessageType::FLOW_DELETE => netfilter.family(),
            _ => return Ok(None),
        };
        Ok(Some(FlowFilter::read(family, attributes, release)?))
    }

    /// Starts a dump or flushes the table, with or without a filter.
    fn answer_filtered(
        &mut self,
        request: &wire::RawMessage<'_>,
        filter: Option<FlowFilter>,
        asked: Asked,
    ) -> Result<Answer, Refused> {
        match request.header().message_type {
            MessageType::FLOW_DELETE => {
                let selects = |entry| filter.as_ref().is_none_or(|filter| filter.selects(entry));
                let selected: Vec<_> =
                    self.flows.iter().filter(|(_, entry)| selects(entry)).map(|(place, _)| place).collect();
                selected.into_iter().for_each(|place| self.end(place, asked.port));
                Ok(Answer::Done)
            }
            message_type => {
                let zero_counters = message_type == MessageType::FLOW_GET_ZERO_COUNTERS;
                Ok(Answer::Dump(DumpSubject::Flows { filter, zero_counters, last: None }))
            }
        }
    }

    fn carry_out(&mut self, message: Message, asked: Asked, request: &wire::RawMessage<'_>) -> Result<Answer, Refused> {
        let port = asked.port;
        match message {
            Message::CreateFlow(flow) => self.create(&flow, port)?,
            Message::UpdateFlow { key, update } => self.update(&key.tuple, key.direction, key.zone, &update, port)?,
            Message::GetFlow(get) => return self.get(&get, asked),
            Message::DeleteFlow(delete) => self.delete(&delete, port)?,
            Message::DumpFlows(dump) => return Ok(Answer::Dump(dump_of_others(&dump))),
            Message::GetTableStatistics => return Ok(Answer::Message(self.table_statistics(asked))),
            Message::DumpCpuStatistics => return Ok(Answer::Dump(DumpSubject::Processors { next: 0 })),
            Message::CreateExpectation { expectation, or_update } => {
                check_policy(&expectation, request, self.settings.release)?;
                self.create_expectation(&expectation, or_update, port)?;
            }
            Message::GetExpectation(key) => return self.get_expectation(&key, asked),
            Message::DumpExpectations(dump) => return Ok(self.dump_expectations(&dump)?),
            Message::DeleteExpectation(key) => self.delete_expectation(&key, port)?,
            Message::DeleteExpectationsOf(helper) => {
                let is_of = |entry: &ExpectationEntry| entry.helper.is_some_and(|found| *found.name == *helper);
                self.expectations.select(is_of).into_iter().for_each(|serial| self.end_expectation(serial, port));
            }
            Message::FlushExpectations => {
                self.expectations.select(|_| true).into_iter().for_each(|serial| self.end_expectation(serial, port));
            }
            Message::DumpExpectationStatistics => {
                return Ok(Answer::Dump(DumpSubject::ProcessorsOfExpectations { next: 0 }));
            }
            _ => return Err(Errno::EINVAL.into()),
        }
        Ok(Answer::Done)
    }

    fn get(&mut self, request: &GetFlow, asked: Asked) -> Result<Answer, Refused> {
        let key = request.key();
        let place = self.find_key(&key.tuple, key.direction, key.zone)?.ok_or(Errno::ENOENT)?;
        // The kernel holds another reference while it writes the flow.
        let head = asked.head(MessageType::FLOW_NEW);
        Ok(Answer::Message(write_flow(self, place, request.zeroes_counters(), 1, head)))
    }

    fn delete(&mut self, request: &DeleteFlow, port: u32) -> Result<(), Errno> {
        let key = request.key();
        let place = self.find_key(&key.tuple, key.direction, key.zone)?.ok_or(Errno::ENOENT)?;
        let is_other = |id| self.flows.get(place).is_none_or(|entry| entry.id != id);
        if key.id.is_some_and(is_other) {
            return Err(Errno::ENOENT);
        }
        self.end(place, port);
        Ok(())
    }

    fn table_statistics(&self, asked: Asked) -> Vec<u8> {
        let statistics = TableStatistics {
            entries: self.flows.len().try_into().ok(),
            max_entries: self.settings.max.try_into().ok(),
        };
        let header = NetfilterHeader::new(Family::UNSPEC);
        netfilter(asked.head(MessageType::TABLE_STATISTICS), header, |attributes| statistics.encode(attributes))
    }

    fn create_expectation(&mut self, request: &Expectation, or_update: bool, port: u32) -> Result<(), Errno> {
        let release = self.settings.release;
        let tuple = RawTuple::of(&request.tuple, release)?;
        if let Some(serial) = self.expectations.find(request.zone.unwrap_or(0), &tuple) {
            return match request.timeout {
                _ if !or_update => Err(Errno::EEXIST),
                Some(seconds) => {
                    let expires = self.deadline(seconds);
                    self.expectations.set_timeout(serial, expires);
                    Ok(())
                }
                None => Ok(()),
            };
        }
        let read = |tuple: &Tuple| RawTuple::of_family(tuple, request.family(), release);
        let (mask, master) = (read(&request.mask)?, read(&request.master)?);
        let place = self.find(&master, Zone::of_both(request.zone)).ok_or(Errno::ENOENT)?;
        let master = self.flows.get(place).ok_or(Errno::ENOENT)?;
        let entry = ExpectationEntry::new(request, [tuple, mask], master, &self.present())?;
        if let Some(serial) = self.expectations.check(&entry, self.settings.expect_max)? {
            self.end_expectation(serial, 0);
        }
        self.counts.expect_create = self.counts.expect_create.wrapping_add(1);
        let created = self.expectations.insert(entry).clone();
        self.tell_expectation(&created, false, port);
        Ok(())
    }

    fn find_expectation(&self, key: &ExpectationKey) -> Result<u64, Errno> {
        let tuple = RawTuple::of(&key.tuple, self.settings.release)?;
        let serial = self.expectations.find(key.zone.unwrap_or(0), &tuple).ok_or(Errno::ENOENT)?;
        let is_other = |id| self.expectations.get(serial).is_none_or(|entry| entry.id != id);
        if key.id.is_some_and(is_other) { Err(Errno::ENOENT) } else { Ok(serial) }
    }

    fn get_expectation(&self, key: &ExpectationKey, asked: Asked) -> Result<Answer, Refused> {
        let serial = self.find_expectation(key)?;
        let entry = self.expectations.get(serial).ok_or(Errno::ENOENT)?;
        let (header, present) = (NetfilterHeader::new(entry.family()), self.present());
        let head = asked.head(MessageType::EXPECTATION_NEW);
        Ok(Answer::Message(netfilter(head, header, |attributes| entry.encode(&present, attributes))))
    }

    fn delete_expectation(&mut self, key: &ExpectationKey, port: u32) -> Result<(), Errno> {
        let serial = self.find_expectation(key)?;
        self.end_expectation(serial, port);
        Ok(())
    }

    fn dump_expectations(&mut self, request: &DumpExpectations) -> Result<Answer, Errno> {
        let family = request.family();
        let Some(master) = request.master() else {
            return Ok(Answer::Dump(DumpSubject::Expectations { family, master: None, last: 0 }));
        };
        let tuple = RawTuple::of(&master, self.settings.release)?;
        let place = self.find(&tuple, Zone::of_both(request.zone())).ok_or(Errno::ENOENT)?;
        let entry = self.flows.get(place).ok_or(Errno::ENOENT)?;
        // Without a helper the kernel starts no dump and sends only the acknowledgement.
        Ok(match entry.helper {
            None => Answer::Done,
            Some(_) => Answer::Dump(DumpSubject::Expectations { family, master: Some(entry.slot), last: 0 }),
        })
    }
}

/// The subject of a dump of dying or unconfirmed flows.
const fn dump_of_others(request: &DumpFlows) -> DumpSubject {
    match request.table() {
        Table::Conntrack => DumpSubject::Flows { filter: None, zero_counters: request.zeroes_counters(), last: None },
        Table::Dying | Table::Unconfirmed => DumpSubject::Nothing,
    }
}

/// The refusal of a request that does not decode.
fn refusal(error: &DecodeError, request: &wire::RawMessage<'_>) -> Refused {
    match error.kind() {
        DecodeErrorKind::Length { .. } => {
            let offset = error.offset().saturating_sub(request.offset());
            Refused::by_policy(Errno::ERANGE, POLICY, offset.try_into().unwrap_or(u32::MAX))
        }
        _ => Errno::EINVAL.into(),
    }
}

/// Checks the attributes of an expectation against the kernel's policy, in the order in which they are sent.
fn check_policy(expectation: &Expectation, request: &wire::RawMessage<'_>, release: Release) -> Result<(), Refused> {
    const LONGEST_NAME: usize = 15;
    let offset = |number| {
        let found = request.netfilter().ok().and_then(|body| body.attributes(AttributeSet::Expectation).find(number));
        let position = found.map_or(0, |attribute| attribute.position());
        (request.attributes_offset() - request.offset() + position).try_into().unwrap_or(u32::MAX)
    };
    let known = ExpectationFlags::PERMANENT | ExpectationFlags::INACTIVE | ExpectationFlags::USERSPACE;
    if release >= Release::RANGE_CHECKS && expectation.flags.is_some_and(|flags| !known.contains(flags)) {
        return Err(Refused::by_policy(Errno::EINVAL, "reserved bit set", offset(CTA_EXPECT_FLAGS)));
    }
    if expectation.helper.as_ref().is_some_and(|name| name.len() > LONGEST_NAME) {
        // The kernel finds no NUL within the longest name that it accepts.
        return Err(Refused::by_policy(Errno::EINVAL, POLICY, offset(CTA_EXPECT_HELP_NAME)));
    }
    Ok(())
}

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
pub(super) struct PendingDump {
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

impl PendingDump {
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
